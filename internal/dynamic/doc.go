// Package dynamic calls Thrift methods without generated code: it reads a .thrift file, turns JSON into the
// arguments of a method, and the reply back into JSON.
//
// # Model
//
//	bool, string      the same
//	i8 … i64          a whole number, checked against the type's range
//	double            a number, or "NaN", "Infinity", "-Infinity"
//	binary            base64 (standard or URL alphabet, padding optional)
//	uuid              its text, "123e4567-e89b-12d3-a456-426614174000"
//	enum              its name, or its number
//	list, set         an array; a set refuses duplicates
//	map               an object when keys are scalars ({"7": …}), else an
//	                  array of {"key": …, "value": …}, which every map accepts
//	struct, exception an object by field name; null or absence leaves a field
//	                  out, and a default of the .thrift file is then sent
//	union             an object with exactly one field
//
// Entries of a map are printed in the order of their keys.
//
// # Failure
//
// All mistakes are reported at once, each with its JSON path and, for a misspelt name, with the nearest right
// one. A text that is not UTF-8 (GBK, say) is refused in arguments; in a reply its bytes are shown as \xNN and
// the text is counted. Unknown fields of a reply are skipped and counted, never an error.
//
// # Limits
//
// Values nest up to 64 levels, as in the Thrift libraries. The parser (go.uber.org/thriftrw) accepts less than
// Apache's compiler. The package rewrites arguments without ids (-1, -2, … on the wire), the type uuid,
// annotations on a namespace and references with & for it. Included files with a hyphen in their name are
// refused. A byte order mark is skipped; comments may be in any encoding.
//
// # Tests
//
// Table tests for each row above and each mistake, a fuzz test of the round trip JSON → Thrift → JSON over the
// binary and compact protocols, and one of the decoder on arbitrary bytes.
package dynamic
