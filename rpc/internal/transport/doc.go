// Package transport moves bytes for package rpc: sockets, buffers, framing and
// writing. It knows nothing of calls, services and endpoints.
//
// # Model
//
// A [Reader] cuts the bytes of a connection into messages: frames with a
// length, or unframed Thrift messages. A [Writer] gathers the frames of many
// goroutines into few writes. A [TLSBuffer] lies between crypto/tls and the
// socket, so that sealed records leave through the Writer as well. A
// [Handshake] bounds a TLS handshake in bytes, in time and, by [Turns], in
// processor time.
//
// # Guarantees
//
// Each message has memory of its own, which is never written again, so strings
// that were decoded from it may be kept. The Reader takes no memory for bytes
// that were only announced: the memory of a large frame is at most 32 times its
// received bytes. A silent connection holds no buffer. All connections of a
// server share a [ByteBudget]. At twice its limit, a connection that would
// receive more is closed.
//
// A Send returns an error only when no byte of the frame is sent. A caller
// waits for a slow peer for at most 5 ms; then a goroutine takes the write over.
// A connection ends when its peer takes no byte for 10 s.
//
// # Waiting
//
// On Linux a reader may spin for up to 80 µs before it sleeps. It does so
// while spinning shortens the wait, one reader of a process at a time, and never
// with a single processor.
//
// # Concurrency
//
// Writer, ByteBudget and Turns are safe for concurrent use. A Reader, a
// TLSBuffer and an IdleKeepalive belong to one goroutine at a time. The
// goroutines that a Writer or DialTCP needs are started by a function of their
// owner, which joins them.
//
// # Tests
//
// Frames of every size over sockets and pipes; unframed messages are fuzzed
// against the decoder of package flat; dialling, deadlines and turns run in
// virtual time.
package transport
