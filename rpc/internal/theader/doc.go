// Package theader reads and writes frames of Apache Thrift's THeader format
// (doc/specs/HeaderFormat.md of the Thrift sources) and recognises the other
// framings that Thrift clients use.
//
// A frame is a length word, a fixed part (magic, flags, sequence number), a
// header block (sub-protocol, transforms, key/value infos) and the payload,
// which is an ordinary binary or compact Thrift message.
//
// Writing needs no second copy of the payload: [Append] writes the header,
// the payload goes behind it or is sent after it, and the length word is set
// when its size is known, by [Finish] or by the sender. No transforms are
// written.
//
// Reading takes the frame as a string, so that every key, value and the
// payload is a substring of it: [Parse] takes no memory for them, but for the
// header of a frame of more than 8 KiB, so that a value that is kept does not
// keep that. A payload that a stock client compressed with zlib is undone by
// [Inflate], up to the frame limit: it asks for each piece of memory before it
// takes it. Such calls are answered uncompressed, which stock clients accept.
// Other transforms, zlib twice, preset dictionaries and bytes behind the end are
// refused. Infos of unknown kinds are passed over.
//
// Every size is checked against [Limits] and against the bytes that are there
// before memory is taken for it. The package is pure: no state, no goroutines,
// no I/O. Its tests take the stock Go library as the other end, cut frames at
// every byte, and fuzz the parser.
package theader
