package dynamic

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"

	"go.uber.org/thriftrw/ast"
	"go.uber.org/thriftrw/compile"
	"go.uber.org/thriftrw/idl"
)

// Apache's compiler accepts more than the parser of this package: the type uuid, arguments without
// ids, annotations of a namespace, references with &. A file is adapted when it is read; its lines
// keep their numbers.

// uuidMark is the annotation of the type that stands for uuid.
const uuidMark = "skerry.uuid"

const uuidType = "\ntypedef string uuid (" + uuidMark + " = \"\")\n"

// An argument without an id has the ids -1, -2, … on the wire. The parser refuses such ids, so the
// argument gets one at the end of the range.
const (
	idsEnd    = 1 << 15
	idsOfOurs = 1 << 10
)

// Patterns for the text without comments and strings.
var (
	annotatedNamespace = regexp.MustCompile(`(?m)^\s*namespace\s+[\w.*]+\s+[\w.]+(\s*\([^()]*\))`)
	reference          = regexp.MustCompile(`(&)`) // the character has no other meaning
	uuidWord           = regexp.MustCompile(`\buuid\b`)
	negativeID         = regexp.MustCompile(`^-[0-9]+`)
)

// adapt rewrites a file for the parser; numbered reports that arguments were given ids. A text that
// still can't be parsed is left to the parser, for its error.
func adapt(text []byte) (adapted []byte, numbered bool) {
	program, err := idl.Parse(text)
	if err != nil {
		blanked := bytes.Clone(text)
		for _, what := range []*regexp.Regexp{annotatedNamespace, reference} {
			for _, at := range what.FindAllSubmatchIndex(code(text), -1) {
				blank(blanked[at[2]:at[3]])
			}
		}
		if program, err = idl.Parse(blanked); err != nil {
			return blanked, false
		}
		text = blanked
	}
	needsUUID := uuidWord.Match(code(text)) &&
		!slices.ContainsFunc(program.Definitions, func(d ast.Definition) bool { return d.Info().Name == "uuid" })
	text, numbered = numberArguments(text, program)
	if needsUUID {
		text = append(bytes.Clone(text), uuidType...)
	}
	return text, numbered
}

// blank puts spaces in place of everything but line breaks.
func blank(text []byte) {
	for i, c := range text {
		if c != '\n' && c != '\r' {
			text[i] = ' '
		}
	}
}

// code is the text with spaces in place of comments and strings.
func code(text []byte) []byte {
	out := bytes.Clone(text)
	for i := 0; i < len(out); {
		var end int
		switch rest := out[i:]; {
		case bytes.HasPrefix(rest, []byte("//")) || rest[0] == '#':
			end = after(out, i, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			end = after(out, i+2, "*/")
		case rest[0] == '"' || rest[0] == '\'':
			end = after(out, i+1, string(rest[0]))
		default:
			i++
			continue
		}
		blank(out[i:end])
		i = end
	}
	return out
}

// after is the index behind the next end, or behind the text.
func after(text []byte, from int, end string) int {
	if at := bytes.Index(text[from:], []byte(end)); at >= 0 {
		return from + at + len(end)
	}
	return len(text)
}

// insertion puts an id in place of size bytes.
type insertion struct {
	at, size int
	id       int
}

// numberArguments gives ids to arguments and exceptions of methods without ids, or with negative
// ones.
func numberArguments(text []byte, program *ast.Program) ([]byte, bool) {
	var all []insertion
	begins := lineBegins(text)
	for _, d := range program.Definitions {
		s, ok := d.(*ast.Service)
		if !ok {
			continue
		}
		for _, f := range s.Functions {
			for _, list := range [][]*ast.Field{f.Parameters, f.Exceptions} {
				next := -1
				for _, field := range list {
					if field.Line < 1 || field.Line > len(begins) || field.ID >= idsEnd-idsOfOurs {
						return text, false
					}
					at := insertion{at: begins[field.Line-1] + field.Column - 1, id: next}
					switch {
					case field.IDUnset:
					case field.ID < 0:
						at.id = field.ID
						at.size = len(negativeID.Find(text[at.at:]))
					default:
						continue
					}
					if next = at.id - 1; next < -idsOfOurs || at.id != 0 && at.size == 0 && !field.IDUnset {
						return text, false
					}
					all = append(all, at)
				}
			}
		}
	}
	if len(all) == 0 {
		return text, false
	}
	slices.SortFunc(all, func(a, b insertion) int { return a.at - b.at })
	var out []byte
	from := 0
	for _, i := range all {
		out = strconv.AppendInt(append(out, text[from:i.at]...), int64(idsEnd+i.id), 10)
		if i.size == 0 {
			out = append(out, ": "...)
		}
		from = i.at + i.size
	}
	return append(out, text[from:]...), true
}

func lineBegins(text []byte) []int {
	begins := []int{0}
	for i, c := range text {
		if c == '\n' {
			begins = append(begins, i+1)
		}
	}
	return begins
}

// trueIDs restores the wire ids of the arguments of a numbered file.
func trueIDs(m *compile.Module) {
	for _, s := range m.Services {
		for _, f := range s.Functions {
			lists := []compile.FieldGroup{compile.FieldGroup(f.ArgsSpec)}
			if f.ResultSpec != nil {
				lists = append(lists, f.ResultSpec.Exceptions)
			}
			for _, list := range lists {
				for _, field := range list {
					if int(field.ID) >= idsEnd-idsOfOurs {
						field.ID = int16(int(field.ID) - idsEnd)
					}
				}
			}
		}
	}
}

// isUUID reports whether a type is uuid, also under another name.
func isUUID(spec compile.TypeSpec) bool {
	for {
		t, ok := spec.(*compile.TypedefSpec)
		if !ok {
			return false
		}
		if _, marked := t.Annotations[uuidMark]; marked {
			return true
		}
		spec = t.Target
	}
}
