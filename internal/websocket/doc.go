// Package websocket is the server's end of a WebSocket of RFC 6455 that carries text messages.
//
// A Conn reads one message at a time, into memory that grows with the bytes that have come and never beyond the limit
// of a message. It answers pings, and refuses what the RFC forbids: frames without a mask, reserved bits and opcodes,
// long or fragmented control frames, lengths that are not the shortest, fragments out of order, texts that are not
// UTF-8. Binary messages are refused, too. One goroutine may read while others write.
//
// The tests are tables of frames and a fuzz test of arbitrary bytes.
package websocket
