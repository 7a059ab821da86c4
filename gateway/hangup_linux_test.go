package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
)

// The wait of a request ends with its client's connection, even if much of its body is unread. If
// the client stays, the body is read when the request goes on.
func TestClientThatLeavesAnUnreadBodyEndsTheWait(t *testing.T) {
	s := newSite(t)
	pattern := httptestTLS(t)
	routes := func(c *gateway.Config) {
		c.Routes = []config.Route{{Path: "/", Service: "web", Timeout: time.Hour}} // would be the time of the wait
	}
	plain, _ := s.serve(routes)
	secret, _ := s.serve(func(c *gateway.Config) { routes(c); c.ServerTLS = pattern.server })
	waiting := func(want int) bool {
		n := 0
		for _, live := range s.node.Rollout().Live() {
			n += live
		}
		return n == want
	}
	until := func(what string, f func() bool) {
		t.Helper()
		for begun := time.Now(); !f(); time.Sleep(10 * time.Millisecond) {
			if time.Since(begun) > time.Minute {
				t.Fatalf("not within a minute: %s", what)
			}
		}
	}
	part := strings.Repeat("x", 100_000)
	bodies := map[string]string{
		"length":              "Content-Length: 200000\r\n\r\n" + part,
		"length, all of it":   "Content-Length: 100000\r\n\r\n" + part,
		"length, none of it":  "Content-Length: 200000\r\n\r\n",
		"chunks":              fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(part), part),
		"chunks, all of them": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(part), part),
	}
	for _, secure := range []bool{false, true} {
		for how, leave := range map[string]func(*net.TCPConn) error{
			"closed": (*net.TCPConn).Close, "half closed": (*net.TCPConn).CloseWrite,
			"reset": func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() },
		} {
			for name, body := range bodies {
				t.Run(fmt.Sprint(name, ", ", how, ", TLS ", secure), func(t *testing.T) {
					conn, below := net.Conn(nil), (*net.TCPConn)(nil)
					if secure {
						conn = pattern.dial(t, secret)
						below = conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn)
					} else {
						below = dial(t, plain)
						conn = below
					}
					if _, err := io.WriteString(conn, "POST /x HTTP/1.1\r\nHost: a\r\n"+body); err != nil {
						t.Fatal(err)
					}
					until("the request waits", func() bool { return waiting(1) })
					if err := leave(below); err != nil {
						t.Fatal(err)
					}
					until("the wait ends", func() bool { return waiting(0) })
				})
			}
		}
	}
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("the client stays, TLS ", secure), func(t *testing.T) {
			conn := net.Conn(dial(t, plain))
			if secure {
				conn = pattern.dial(t, secret)
			}
			say := func(text string) {
				t.Helper()
				if _, err := io.WriteString(conn, text); err != nil {
					t.Fatal(err)
				}
			}
			say("POST /x HTTP/1.1\r\nHost: a\r\n" + bodies["length"])
			until("the request waits", func() bool { return waiting(1) })
			provider := s.open(config.Service{})
			s.web(provider, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body)
				fmt.Fprint(w, n, " ", err)
			}))
			say(part)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := io.ReadAll(answer.Body); string(text) != "200000 <nil>" {
				t.Errorf("%d %s", answer.StatusCode, text)
			}
			if err := provider.Close(); err != nil {
				t.Error(err)
			}
			until("no instance is listed", func() bool { return len(s.node.Explain("web")) == 0 })
		})
	}
}
