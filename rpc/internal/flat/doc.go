// Package flat implements the strict binary and the compact protocol of Thrift over flat memory: a
// whole message at a time, without a transport. The bytes are those of the stock library, and its
// generated code runs on them.
//
// A [Writer] appends to one buffer. A [Reader] walks one string and returns substrings of it. So a
// small string that is kept also keeps the whole message in memory: clone strings that live long.
// Byte slices are copies.
//
// Writers and readers come from a pool and go back by Free, after which they may not be used, a
// writer's Bytes included. Strings that were read stay valid. Buffers above 2 MiB are not kept, so
// one large message does not stay in memory.
//
// # Hostile messages
//
// A message can't make a reader take much memory or time. The size of a string
// is checked against the bytes that are left. So is the size of a list, set or
// map, by the fewest bytes that its elements can have. All containers of a message
// together may not announce more elements than its bytes could hold, so nested
// containers can't announce the same bytes again. Structs, and values that Skip
// passes over, may nest 64 deep. Skip takes no time for values of a fixed size in
// containers, and some nanoseconds for any other value.
//
// An element of one byte can become a struct of hundreds of bytes. Memory of decoding is therefore
// counted before it is taken ([Memory]). Past 64 KiB an [Account] grants or refuses it. A [Shape] has
// the sizes of values by the types of the generated code, because these decide what memory is taken,
// and not the types that the message announces. [Costs] has the sizes where no shape is known.
// Skipped values take no memory.
//
// Errors are thrift.TProtocolException with the type ids of the stock library
// (SIZE_LIMIT, NEGATIVE_SIZE, DEPTH_LIMIT, INVALID_DATA, BAD_VERSION) and say
// at which byte. A message that ends too early is INVALID_DATA wrapping
// io.ErrUnexpectedEOF.
//
// Neither type is safe for concurrent use. The tests hold both protocols
// against the stock ones byte by byte, cut messages at every byte, and fuzz
// the readers with the stock readers as the judge.
package flat
