package gateway_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/testfeed"
)

// socket is a client's end of a WebSocket.
type socket struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dialSocket opens a talk as a WebSocket.
func dialSocket(t *testing.T, edge *httptest.Server) *socket {
	t.Helper()
	conn := dial(t, edge.Listener.Addr().String())
	fmt.Fprintf(conn, "GET /feed/talk HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", edge.Listener.Addr(), edge.URL)
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols ||
		answer.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatal(answer, err)
	}
	return &socket{t, conn, in}
}

// send sends a frame of at most 125 bytes.
func (s *socket) send(first byte, text string) {
	b := append([]byte{first, 0x80 | byte(len(text))}, "abcd"...)
	for i := range len(text) {
		b = append(b, text[i]^"abcd"[i&3])
	}
	if _, err := s.conn.Write(b); err != nil {
		s.t.Error(err)
	}
}

// wants receives a frame.
func (s *socket) wants(op byte, want string) {
	s.t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		s.t.Fatalf("in place of %q: %v", want, err)
	}
	n := int(head[1])
	if n == 126 {
		var long [2]byte
		_, _ = io.ReadFull(s.in, long[:])
		n = int(binary.BigEndian.Uint16(long[:]))
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(s.in, text); err != nil || head[0] != 0x80|op || !strings.Contains(string(text), want) {
		s.t.Errorf("%x %q, %v, want %q", head, text, err, want)
	}
}

func code(n uint16) string { return string(binary.BigEndian.AppendUint16(nil, n)) }

// A bidi stream is a WebSocket. However it ends, the client is told why, and nothing is held.
func TestBidiStreamsAreWebSockets(t *testing.T) {
	h := &testfeed.Handler{}
	s, edge := feed(t, h)
	const text, bye, ping, pong = 1, 8, 9, 10
	for name, play := range map[string]func(c *socket){
		"both ways": func(c *socket) {
			for n := range 10 {
				c.send(0x80|text, fmt.Sprintf(`{"t":%d,"text":"a"}`, n))
				c.wants(text, fmt.Sprintf(`{"t":%d,"text":"A"}`, n))
			}
			c.send(0x80|ping, "?")
			c.wants(pong, "?")
			c.send(0x80|text, `{"t":11,"text":"b"}`)
			c.send(0x80|text, "") // the end of its items
			c.wants(text, `"B"`)
			c.wants(bye, code(1000)+"end")
		},
		"exception": func(c *socket) {
			c.send(text, `{"t":5,`) // in two fragments
			c.send(0x80, `"text":"gone"}`)
			c.wants(text, `{"skerry-failure":{"exception":"Gone","fields":{"oldest":5}}}`)
			c.wants(bye, code(4001)+"exception")
		},
		"wrong item": func(c *socket) {
			c.send(0x80|text, `{"t":1}`)
			c.wants(text, `{"t":1`)
			c.send(0x80|text, `{"t":"x"}`)
			c.wants(bye, code(1007)+"message 2: does not fit")
		},
		"goodbye":        func(c *socket) { c.send(0x80|bye, code(1000)); c.wants(bye, code(1000)) },
		"leaves":         func(*socket) {},
		"leaves at work": func(c *socket) { c.send(0x80|text, `{"t":1}`) },
		"binary":         func(c *socket) { c.send(0x82, "x"); c.wants(bye, code(1003)) },
		"no mask": func(c *socket) {
			_, _ = io.WriteString(c.conn, "\x81\x02{}") // what follows tells
			c.wants(bye, code(1002))
		},
		"huge": func(c *socket) {
			_, _ = io.WriteString(c.conn, "\x81\xff\x00\x00\x00\x7f\xff\xff\xff\xffabcd")
			c.wants(bye, code(1009))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialSocket(t, edge)
			play(c)
			c.conn.Close()
		})
	}
	rested(s, h)
	up := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key",
		"dGhlIHNhbXBsZSBub25jZQ=="}
	for want, header := range map[int][]string{
		http.StatusUpgradeRequired: nil,
		http.StatusForbidden:       append(up, "Origin", "http://evil.example"),
	} {
		if status, text := ask(t, http.MethodGet, edge.URL+"/feed/talk", "", header...); status != want {
			t.Errorf("%d %s", status, text)
		}
	}
}
