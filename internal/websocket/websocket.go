package websocket

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"
)

// The codes of closing frames.
const (
	Normal        = 1000
	GoingAway     = 1001
	ProtocolError = 1002
	Unsupported   = 1003
	noCode        = 1005 // the frame has none
	Invalid       = 1007 // data that does not fit its type
	TooBig        = 1009
)

// Closed is the error of a connection that has come to its end, or must.
type Closed struct {
	Code   int
	Reason string
	Peer   bool // the peer has said so
}

// Error says why.
func (c *Closed) Error() string {
	if c.Peer {
		return fmt.Sprintf("the client has closed the WebSocket (%d %q)", c.Code, c.Reason)
	}
	return fmt.Sprintf("WebSocket: %s (%d)", c.Reason, c.Code)
}

func closed(code int, reason string) error { return &Closed{Code: code, Reason: reason} }

// Accept is the Sec-WebSocket-Accept for a Sec-WebSocket-Key.
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Conn is the server's end of a WebSocket.
type Conn struct {
	conn    net.Conn
	in      *bufio.Reader
	most    int           // bytes of a message
	silence time.Duration // without a byte of the peer, which answers pings

	leaving sync.Once
	left    chan struct{} // closed by Close

	mu     sync.Mutex // for writing
	closed bool       // a closing frame was sent
}

// New takes a connection over after the handshake. most bounds a message, in bytes; the peer must send something within
// silence.
func New(conn net.Conn, in *bufio.Reader, most int, silence time.Duration) *Conn {
	return &Conn{conn: conn, in: in, most: most, silence: silence, left: make(chan struct{})}
}

const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

const (
	final    = 0x80
	reserved = 0x70
	masked   = 0x80
)

const maxControl = 125 // bytes of a control frame

// frame is the head of a frame.
type frame struct {
	op     byte
	final  bool
	length int
	mask   [4]byte
}

func (c *Conn) head() (f frame, err error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(c.silence)) // an error: the read fails, too
	select {
	case <-c.left:
		_ = c.conn.SetReadDeadline(time.Now().Add(farewell))
	default:
	}
	var b [8]byte
	if _, err = io.ReadFull(c.in, b[:2]); err != nil {
		return f, err
	}
	f.op, f.final = b[0]&0x0f, b[0]&final != 0
	length := uint64(b[1] &^ masked)
	switch {
	case b[0]&reserved != 0:
		return f, closed(ProtocolError, "a reserved bit is set")
	case b[1]&masked == 0:
		return f, closed(ProtocolError, "a frame of a client without a mask")
	case f.op >= opClose && (length > maxControl || !f.final):
		return f, closed(ProtocolError, "a control frame that is too long or a fragment")
	}
	switch length {
	case 126:
		if _, err = io.ReadFull(c.in, b[:2]); err != nil {
			return f, err
		}
		if length = uint64(binary.BigEndian.Uint16(b[:])); length < 126 {
			return f, closed(ProtocolError, "a length that is not the shortest")
		}
	case 127:
		if _, err = io.ReadFull(c.in, b[:]); err != nil {
			return f, err
		}
		if length = binary.BigEndian.Uint64(b[:]); length < 1<<16 || length >= 1<<63 {
			return f, closed(ProtocolError, "a length that is not the shortest")
		}
	}
	if length > uint64(c.most) {
		return f, closed(TooBig, fmt.Sprintf("a message has more than %d bytes", c.most))
	}
	f.length = int(length)
	_, err = io.ReadFull(c.in, f.mask[:])
	return f, err
}

// Read returns the next text message. The error is *Closed at the end or for a mistake of the peer, which Close then
// names to it, or that of the connection.
func (c *Conn) Read() ([]byte, error) {
	var message []byte
	begun := false
	for {
		f, err := c.head()
		if err != nil {
			return nil, err
		}
		switch f.op {
		case opText, opContinuation:
			if begun != (f.op == opContinuation) {
				return nil, closed(ProtocolError, "fragments out of order")
			}
			if len(message)+f.length > c.most {
				return nil, closed(TooBig, fmt.Sprintf("a message has more than %d bytes", c.most))
			}
			begun = true
			if message, err = c.payload(message, f); err != nil {
				return nil, err
			}
			if !f.final {
				continue
			}
			if !utf8.Valid(message) {
				return nil, closed(Invalid, "a text that is not UTF-8")
			}
			return message, nil
		case opBinary:
			return nil, closed(Unsupported, "a binary message; send text")
		case opClose, opPing, opPong:
			text, err := c.payload(nil, f)
			if err != nil {
				return nil, err
			}
			if f.op == opClose {
				return nil, ended(text)
			}
			if f.op == opPing {
				err = c.write(opPong, text)
			}
			if err != nil {
				return nil, err
			}
		default:
			return nil, closed(ProtocolError, "an unknown kind of frame")
		}
	}
}

// piece is how much memory a frame gets before its bytes have come.
const piece = 16 << 10

// payload appends the bytes of a frame.
func (c *Conn) payload(to []byte, f frame) ([]byte, error) {
	for done := 0; done < f.length; {
		n := min(piece, f.length-done)
		at := len(to)
		to = append(to, make([]byte, n)...)
		if _, err := io.ReadFull(c.in, to[at:]); err != nil {
			return nil, err
		}
		for i := at; i < len(to); i++ {
			to[i] ^= f.mask[(done+i-at)&3]
		}
		done += n
	}
	return to, nil
}

// ended reads a closing frame.
func ended(text []byte) error {
	if len(text) == 0 {
		return &Closed{Code: noCode, Peer: true}
	}
	if len(text) == 1 || !utf8.Valid(text[2:]) {
		return closed(ProtocolError, "a closing frame that can't be read")
	}
	code := int(binary.BigEndian.Uint16(text))
	if code < 1000 || code >= 5000 || code >= 1004 && code <= 1006 || code >= 1015 && code < 3000 {
		return closed(ProtocolError, "a closing code that can't be sent")
	}
	return &Closed{Code: code, Reason: string(text[2:]), Peer: true}
}

// Write sends a text message.
func (c *Conn) Write(text []byte) error { return c.write(opText, text) }

// Ping asks the peer to send something.
func (c *Conn) Ping() error { return c.write(opPing, nil) }

// errClosed is the error of writing behind a closing frame.
var errClosed = errors.New("the WebSocket is closed")

func (c *Conn) write(op byte, text []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.closed = op == opClose
	b := make([]byte, 0, 10+len(text))
	b = append(b, final|op)
	switch n := len(text); {
	case n <= maxControl:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	_, err := c.conn.Write(append(b, text...))
	return err
}

// farewell is how long the peer has to answer a closing frame.
const farewell = time.Second

// Close sends a closing frame. The reader then has a second to read the peer's, before its read fails.
func (c *Conn) Close(code int, reason string) {
	for len(reason) > maxControl-2 || !utf8.ValidString(reason) {
		reason = reason[:min(len(reason)-1, maxControl-2)]
	}
	text := binary.BigEndian.AppendUint16(nil, uint16(code))
	_ = c.write(opClose, append(text, reason...)) // an error: the connection has ended
	c.leaving.Do(func() { close(c.left) })
	_ = c.conn.SetReadDeadline(time.Now().Add(farewell))
}

// Drain reads and drops what the peer still sends after a mistake, so that it gets the closing frame. It waits for
// Close, and then as long as Read would.
func (c *Conn) Drain() {
	<-c.left
	_, _ = io.CopyN(io.Discard, c.in, 1<<20) // its end is that of the connection
}
