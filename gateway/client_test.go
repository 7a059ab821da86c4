package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// halves is a connection in memory. Each of its directions ends by itself.
type halves struct {
	net.Conn // the side that halves reads from
	out      net.Conn
}

func (h halves) Write(p []byte) (int, error)        { return h.out.Write(p) }
func (h halves) SetWriteDeadline(t time.Time) error { return h.out.SetWriteDeadline(t) }
func (h halves) CloseWrite() error                  { return h.out.Close() }
func (h halves) Close() error                       { h.out.Close(); return h.Conn.Close() }
func (h halves) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.1:40000"))
}

// join connects a user that can close the two directions separately.
func (w *world) join() halves {
	up, there := net.Pipe()
	down, here := net.Pipe()
	w.users.conns <- halves{there, down}
	return halves{here, up}
}

// A client that closes its sending side behind its request gets the answer. A client has given up
// if it closes later, or reads nothing.
func TestClientsThatCloseTheirSendingSide(t *testing.T) {
	const get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		closes  time.Duration // after the request
		close   func(halves)
		ends    time.Duration // of the request at the service, after the request
		want    string        // in what the client reads
	}{
		"at once": {get, 0, func(h halves) { h.CloseWrite() }, 20 * time.Second, "end"},
		"at once, by HTTP/1.0": {"GET /x HTTP/1.0\r\n\r\n", 0, func(h halves) { h.CloseWrite() },
			20 * time.Second, "end"},
		"soon": {get, 4 * time.Second, func(h halves) { h.CloseWrite() }, 20 * time.Second, "end"},
		"late": {get, 6 * time.Second, func(h halves) { h.CloseWrite() }, 6 * time.Second, ""},
		"with a body": {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 0,
			func(h halves) { h.CloseWrite() }, 20 * time.Second, "end"},
		"and then everything": {"GET /talk HTTP/1.1\r\nHost: a\r\n\r\n", time.Second, func(h halves) { h.Close() },
			10 * time.Second, ""},
		"everything, late": {get, 6 * time.Second, func(h halves) { h.Close() }, 6 * time.Second, ""},
		"before a long silence": {"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n", 0, func(h halves) { h.CloseWrite() },
			60 * time.Second, "begin"},
	} {
		t.Run(name, func(t *testing.T) {
			var ended atomic.Int64 // nanoseconds until the end
			serve := func(w http.ResponseWriter, r *http.Request) {
				begun := time.Now()
				defer func() { ended.Store(int64(time.Since(begun))) }()
				limit := time.After(20 * time.Second)
				tick := time.Tick(10 * time.Second)
				switch r.URL.Path {
				case "/silent":
					fmt.Fprint(w, "begin")
					_ = http.NewResponseController(w).Flush()
					limit = nil
					tick = nil
				case "/x":
					tick = nil
				}
				for {
					select {
					case <-r.Context().Done():
						return
					case <-limit:
						fmt.Fprint(w, "end")
						return
					case <-tick:
						fmt.Fprint(w, "more")
						_ = http.NewResponseController(w).Flush()
					}
				}
			}
			inWorld(t, serve, func(w *world) {
				user := w.join()
				defer user.Close()
				fmt.Fprint(user, c.request)
				time.AfterFunc(c.closes, func() { c.close(user) })
				answer, _ := io.ReadAll(user)
				time.Sleep(2 * time.Minute)
				if ended := time.Duration(ended.Load()); ended != c.ends || !strings.Contains(string(answer), c.want) ||
					c.want == "" && strings.Contains(string(answer), "end") {
					t.Errorf("the service was done after %v, want %v; the answer: %q", ended, c.ends, answer)
				}
				if n := w.traces(); n != 0 {
					t.Errorf("%d traces stand", n)
				}
			})
		})
	}
}

// A request does not wait for an instance if its client has closed its sending side, as the client
// may be gone. The gateway refuses it unexecuted.
func TestNoWaitForClientsThatMayBeGone(t *testing.T) {
	inGap(t, 1, sayHello, func(w *world, a *arrivals) {
		user := w.join()
		defer user.Close()
		begun := time.Now()
		fmt.Fprint(user, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		time.AfterFunc(time.Second, func() { user.CloseWrite() })
		status, text := answerFrom(user)
		if took := time.Since(begun); status != http.StatusServiceUnavailable || took != time.Second ||
			!strings.Contains(text, "not executed") {
			t.Errorf("%d %s after %v", status, text, took)
		}
		if a.waits.Load() != 0 {
			t.Error("it still waits")
		}
	})
}

// The bytes that a client sends after a refusal are read within limits of time and size, behind an
// answer that has not waited for them. They never count as a request.
func TestBodiesOfRefusedRequestsAreDropped(t *testing.T) {
	const refused = "POST /a/%2e%2e/b HTTP/1.1\r\nHost: a\r\n"
	for name, c := range map[string]struct {
		head   string
		bytes  int           // that the client sends
		pause  time.Duration // between two KiB
		accept int           // bytes that the gateway reads at least
		most   time.Duration // that the connection lasts
	}{
		"a body that comes": {"Content-Length: 1000000", 1_000_000, 10 * time.Millisecond, 1_000_000,
			20 * time.Second},
		"a body of chunks": {"Transfer-Encoding: chunked", 1_000_000, 10 * time.Millisecond, 1_000_000,
			20 * time.Second},
		"a body that stops":   {"Content-Length: 1000000", 10_000, 0, 10_000, 7 * time.Second},
		"a body that drips":   {"Content-Length: 1000000", 1_000_000, 2 * time.Second, 10_000, 32 * time.Second},
		"a body without end":  {"Transfer-Encoding: chunked", 1 << 30, 0, lingerBytes, 2 * time.Second},
		"a small body, late":  {"Content-Length: 1000", 1_000, time.Second, 1_000, 7 * time.Second},
		"a promise of a body": {"Content-Length: 1000\r\nExpect: 100-continue", 0, 0, 0, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, takeAll, func(w *world) {
				user := w.connect("10.0.0.1")
				defer user.Close()
				begun := time.Now()
				fmt.Fprint(user, refused+c.head+"\r\n\r\n")
				reader := bufio.NewReader(user)
				answer, err := http.ReadResponse(reader, nil)
				if err != nil || answer.StatusCode != http.StatusBadRequest || time.Since(begun) != 0 || !answer.Close {
					t.Fatalf("%+v, %v after %v", answer, err, time.Since(begun))
				}
				sent, piece := 0, []byte(strings.Repeat("x", 1024))
				for sent < c.bytes {
					n, err := user.Write(piece[:min(len(piece), c.bytes-sent)])
					if sent += n; err != nil {
						break
					}
					time.Sleep(c.pause)
				}
				rest, err := io.ReadAll(reader)
				took := time.Since(begun)
				if sent < c.accept || took > c.most || err != nil || strings.Contains(string(rest), "HTTP/1.1") {
					t.Errorf("%d bytes were taken in %v, want %d in at most %v; then %.100q, %v",
						sent, took, c.accept, c.most, rest, err)
				}
				if arrived := w.arrived(); arrived != "" {
					t.Errorf("the service got %.100q", arrived)
				}
			})
		})
	}
}

// The rest of a body that a service has answered without reading never counts as a request,
// whatever its bytes and whenever it arrives.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		head, rest string
		pause      time.Duration
	}{
		"a large body":       {"Content-Length: 200000", hidden, 0},
		"a large body, late": {"Content-Length: 200000", hidden, 10 * time.Second},
		"chunks, late":       {"Transfer-Encoding: chunked", hidden, 10 * time.Second},
		"chunks that end":    {"Transfer-Encoding: chunked", "0\r\n\r\n" + hidden, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			early := func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nearly\n")
				_, _ = io.Copy(io.Discard, conn)
			}
			inWorld(t, early, func(w *world) {
				user := w.connect("10.0.0.1")
				defer user.Close()
				reader := bufio.NewReader(user)
				fmt.Fprintf(user, "POST /x HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", c.head)
				answer, err := http.ReadResponse(reader, nil)
				if err != nil || answer.StatusCode != http.StatusOK {
					t.Fatal(answer, err)
				}
				if text, err := io.ReadAll(answer.Body); string(text) != "early\n" || err != nil {
					t.Errorf("%q, %v", text, err)
				}
				time.Sleep(c.pause)
				_, _ = io.WriteString(user, c.rest)
				_ = user.SetReadDeadline(time.Now().Add(time.Minute))
				_, err = http.ReadResponse(reader, nil)
				if arrived := w.arrived(); err == nil || strings.Contains(arrived, "hidden") {
					t.Errorf("what came behind was answered: %v; the service got %.300q", err, arrived)
				}
			})
		})
	}
}
