// Package theader reads and writes frames of Apache Thrift's THeader format
// (doc/specs/HeaderFormat.md of the Thrift sources) and recognises the other
// framings that Thrift clients use.
//
// A frame is a length word, a fixed part (magic, flags, sequence number), a
// header block (sub-protocol, transforms, key/value infos) and the payload,
// which is an ordinary binary or compact Thrift message.
//
// Writing needs no second copy of the payload. [Append] writes the header, and the payload follows
// it or is sent after it. [Finish] or the sender sets the length word when the size is known. No
// transforms are written.
//
// Reading takes the frame as a string, and [Parse] returns substrings without memory of their own.
// The header of a frame of more than 8 KiB is copied, so that a value that is kept does not keep
// the frame. [Inflate] undoes a stock client's zlib transform up to the frame limit, and asks for
// each piece of memory before it takes it. Such calls are answered uncompressed, which stock
// clients accept. Other transforms, zlib twice, preset dictionaries and trailing bytes are refused.
// Infos of unknown kinds are ignored.
//
// Every size is checked against [Limits] and against the bytes that are there
// before memory is taken for it. The package is pure: no state, no goroutines,
// no I/O. Its tests take the stock Go library as the other end, cut frames at
// every byte, and fuzz the parser.
package theader
