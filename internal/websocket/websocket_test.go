package websocket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// bytesConn is a connection that brings bytes and keeps what is written.
type bytesConn struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (c *bytesConn) Read(p []byte) (int, error)      { return c.in.Read(p) }
func (c *bytesConn) Write(p []byte) (int, error)     { return c.out.Write(p) }
func (c *bytesConn) SetReadDeadline(time.Time) error { return nil }
func (c *bytesConn) Close() error                    { return nil }

func conn(text string, most int) (*Conn, *bytesConn) {
	b := &bytesConn{in: strings.NewReader(text)}
	return New(b, bufio.NewReader(b), most, time.Minute), b
}

// sent is a frame as a client sends it, with a mask of zeros or of "abcd".
func sent(first byte, text string) string {
	head := []byte{first, masked | byte(len(text))}
	out := append(head, "abcd"...)
	for i := range len(text) {
		out = append(out, text[i]^"abcd"[i&3])
	}
	return string(out)
}

func TestMessages(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want string // messages, and the code that ends them
		code int    // 0: the end of the bytes
		out  string
	}{
		"text": {sent(0x81, "hello") + sent(0x81, ""), "hello||", 0, ""},
		"fragments": {sent(0x01, "a") + sent(0x89, "p") + sent(0x00, "b") + sent(0x80, "c"),
			"abc|", 0, "\x8a\x01p"},
		"pong":             {sent(0x8a, "x") + sent(0x81, "y"), "y|", 0, ""},
		"close":            {sent(0x88, "\x03\xe8bye"), "", Normal, ""},
		"close, no code":   {sent(0x88, ""), "", noCode, ""},
		"close, half":      {sent(0x88, "\x03"), "", ProtocolError, ""},
		"close, bad code":  {sent(0x88, "\x03\xed"), "", ProtocolError, ""},
		"no mask":          {"\x81\x01a", "", ProtocolError, ""},
		"reserved bit":     {sent(0xc1, "a"), "", ProtocolError, ""},
		"binary":           {sent(0x82, "a"), "", Unsupported, ""},
		"unknown":          {sent(0x83, "a"), "", ProtocolError, ""},
		"lost start":       {sent(0x80, "a"), "", ProtocolError, ""},
		"second start":     {sent(0x01, "a") + sent(0x81, "b"), "", ProtocolError, ""},
		"fragment of ping": {sent(0x09, "a"), "", ProtocolError, ""},
		"long ping":        {"\x89\xfe\x00\x80abcd" + strings.Repeat("x", 128), "", ProtocolError, ""},
		"long length":      {"\x81\xfe\x00\x05abcdxxxxx", "", ProtocolError, ""},
		"huge":             {"\x81\xff\x00\x00\x00\x7f\xff\xff\xff\xffabcd", "", TooBig, ""},
		"negative":         {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xffabcd", "", ProtocolError, ""},
		"large in pieces": {sent(0x01, strings.Repeat("x", 100)) + sent(0x80, strings.Repeat("x", 100)),
			"", TooBig, ""},
		"not UTF-8": {sent(0x81, "\xff"), "", Invalid, ""},
		"cut off":   {sent(0x81, "hello")[:8], "", 0, ""},
	} {
		ws, b := conn(c.in, 150)
		have := ""
		var err error
		for {
			var text []byte
			if text, err = ws.Read(); err != nil {
				break
			}
			have += string(text) + "|"
		}
		code := 0
		if e, ok := errors.AsType[*Closed](err); ok {
			code = e.Code
		}
		if have != c.want || code != c.code || b.out.String() != c.out {
			t.Errorf("%s: %q, %v, wrote %q", name, have, err, b.out.String())
		}
	}
}

func TestWriting(t *testing.T) {
	ws, b := conn("", 10)
	for n, want := range map[int]int{0: 2, 125: 2, 126: 4, 1<<16 - 1: 4, 1 << 16: 10} {
		b.out.Reset()
		if err := ws.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if head := b.out.Len() - n; head != want {
			t.Errorf("the head of %d bytes has %d", n, head)
		}
	}
	b.out.Reset()
	ws.Close(GoingAway, strings.Repeat("é", 100))
	if b.out.Len() > 2+maxControl || ws.Write(nil) == nil {
		t.Errorf("%d bytes; or a message goes behind the end", b.out.Len())
	}
	if got := Accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Error(got)
	}
}

// An announced length costs no memory before its bytes come.
func TestMemoryComesWithBytes(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		ws, _ := conn("\x81\xff\x00\x00\x00\x00\x3f\xff\xff\xffabcd", 1<<30)
		if _, err := ws.Read(); err == nil {
			t.Fatal("a message without bytes")
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 100; n > 64<<10 {
		t.Errorf("%d bytes for a frame without any", n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(sent(0x01, "a") + sent(0x89, "p") + sent(0x80, "b") + sent(0x88, "\x03\xe8")))
	f.Add([]byte("\x81\xfe\x00\x80abcd" + strings.Repeat("x", 128)))
	f.Add([]byte("\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00abcd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ws, b := conn(string(data), 1000)
		for {
			text, err := ws.Read()
			if err != nil {
				break
			}
			if len(text) > 1000 {
				t.Errorf("a message of %d bytes", len(text))
			}
		}
		if b.out.Len() > len(data) {
			t.Errorf("%d bytes are answered to %d", b.out.Len(), len(data))
		}
	})
}
