package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// virtualPort is a listener in memory.
type virtualPort struct {
	conns  chan net.Conn
	closed chan struct{}
}

// addressed is a connection from an address.
type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

func newPort() *virtualPort { return &virtualPort{make(chan net.Conn), make(chan struct{})} }

func (p *virtualPort) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *virtualPort) Close() error { close(p.closed); return nil }

func (p *virtualPort) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:7700"))
}

// dial opens a connection from an address.
func (p *virtualPort) dial(from string) net.Conn {
	mine, theirs := net.Pipe()
	p.conns <- addressed{theirs, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	return mine
}

// browser is a client with connections from an address.
func (p *virtualPort) browser(from string) *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return p.dial(from), nil
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// signIn signs a browser in by a link, and returns its session.
func signIn(t *testing.T, b *http.Client, c *Console) *http.Cookie {
	t.Helper()
	_, token, _ := strings.Cut(c.Link(), "#")
	r, _ := http.NewRequest(http.MethodPost, "http://127.0.0.1:7700/in", strings.NewReader("token="+token))
	r.Header.Set("Origin", "http://127.0.0.1:7700")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w, err := b.Do(r)
	if err != nil {
		t.Fatalf("signing in: %v", err)
	}
	w.Body.Close()
	if w.StatusCode != http.StatusSeeOther {
		t.Fatalf("signing in: status %d", w.StatusCode)
	}
	return w.Cookies()[0]
}

// loaded loads a page of a session.
func loaded(t *testing.T, b *http.Client, cookie *http.Cookie) {
	t.Helper()
	r, _ := http.NewRequest(http.MethodGet, "http://127.0.0.1:7700/services", nil)
	r.AddCookie(cookie)
	w, err := b.Do(r)
	if err != nil {
		t.Fatalf("a page: %v", err)
	}
	defer w.Body.Close()
	if io.Copy(io.Discard, w.Body); w.StatusCode != http.StatusOK {
		t.Fatalf("a page: status %d", w.StatusCode)
	}
}

// alive is the number of connections that their other side has not closed.
func alive(conns []net.Conn) (n int) {
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(time.Nanosecond))
		if _, err := c.Read(make([]byte, 1)); err == nil || !errors.Is(err, io.EOF) {
			n++
		}
	}
	return n
}

// TestSilentConnections: strangers that open connections and say nothing, or little, take a bounded number of places.
// An operator signs in meanwhile, also from the address of the strangers, and a session keeps its connection.
func TestSilentConnections(t *testing.T) {
	for name, addresses := range map[string]int{"of one address": 1, "of many addresses": 100} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serve(still{night()}, Config{Logger: slog.New(slog.DiscardHandler)})
				p, ended := newPort(), make(chan error, 1)
				ctx, cancel := context.WithCancel(t.Context())
				go func() { ended <- c.Serve(ctx, p, nil) }()
				early := p.browser("10.0.0.1:1000")
				session := signIn(t, early, c)
				var flood []net.Conn
				for i := range 1000 {
					conn := p.dial(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i%addresses)}),
						uint16(2000+i)).String())
					flood = append(flood, conn)
					if i%3 == 0 {
						go conn.Write([]byte("GET / HTTP/1.1\r\n"))
					}
					time.Sleep(time.Millisecond)
				}
				most := mostConns
				if addresses == 1 {
					most = addressConns
				}
				if n := alive(flood); n > most || n < most/2 {
					t.Errorf("%d connections of strangers are open, the bound is %d", n, most)
				}
				for _, from := range []string{"10.0.0.1:1", "10.9.9.9:1", "127.0.0.1:1"} {
					b := p.browser(from)
					loaded(t, b, signIn(t, b, c))
					b.CloseIdleConnections()
				}
				loaded(t, early, session)
				early.CloseIdleConnections()
				time.Sleep(headerTime + time.Second)
				if n := alive(flood); n > 0 {
					t.Errorf("after %v %d connections without a request are open", headerTime, n)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				for _, conn := range flood {
					conn.Close()
				}
				synctest.Wait()
			})
		})
	}
}

// TestWaitingConnections: a connection that waits for its next request closes after a minute, one that takes nothing of
// an answer after half a minute.
func TestWaitingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(still{night()}, Config{Logger: slog.New(slog.DiscardHandler)})
		p := newPort()
		ctx, cancel := context.WithCancel(t.Context())
		go c.Serve(ctx, p, nil)
		const request = "GET /in HTTP/1.1\r\nHost: 127.0.0.1:7700\r\n\r\n"
		idle, slow := p.dial("10.0.0.1:1"), p.dial("10.0.0.2:1")
		go io.Copy(io.Discard, idle)
		idle.Write([]byte(request))
		slow.Write([]byte(request))
		synctest.Wait()
		time.Sleep(pieceTime - time.Second)
		if _, err := idle.Write([]byte(request)); err != nil {
			t.Errorf("before its time a connection has closed: %v", err)
		}
		time.Sleep(2 * time.Second)
		if alive([]net.Conn{slow}) > 0 {
			t.Error("a connection that takes no answer stays open")
		}
		time.Sleep(restTime)
		if _, err := idle.Write([]byte(request)); err == nil {
			t.Error("a connection without a request stays open")
		}
		cancel()
		synctest.Wait()
	})
}

// TestActionsEndWithTheConsole: a console that is told to end waits for an action, so that the audit log has its
// outcome, but not without end.
func TestActionsEndWithTheConsole(t *testing.T) {
	for long, want := range map[time.Duration]string{actionsEnd - time.Second: didIt, time.Hour: begunIt} {
		dir := filepath.Join(t.TempDir(), "a")
		synctest.Test(t, func(t *testing.T) {
			withAction(t, action{Name: "test", Path: "/test", Role: roleOperator, Reason: true,
				Do: func(*handler, context.Context, actor, url.Values) (outcome, error) {
					time.Sleep(long)
					return outcome{}, nil
				}})
			c := serve(still{night()}, Config{StateDir: dir, Logger: slog.New(slog.DiscardHandler)})
			if err := c.open(Config{StateDir: dir}); err != nil {
				t.Fatal(err)
			}
			li := as(t, c, "li", roleOperator)
			go post(t, li, "/test", url.Values{"reason": {"because"}})
			synctest.Wait()
			begun := time.Now()
			c.settle()
			c.Close()
			if took := time.Since(begun); took > actionsEnd {
				t.Errorf("it has waited %v", took)
			}
			time.Sleep(long)
			synctest.Wait()
			last := record{}
			if _, err := readAudit(dir, func(r record) { last = r }); err != nil || last.Outcome != want {
				t.Errorf("an action of %v: the log ends with %+v, %v", long, last, err)
			}
		})
	}
}
