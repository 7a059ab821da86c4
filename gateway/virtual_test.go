package gateway

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
)

// pipes is a network in memory: a listener, and connections to it from addresses that the test
// sets.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects from an address.
func (p *pipes) dial(from string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- addressed{there, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from + ":40000"))}:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

// world is a gateway in front of one service, in virtual time.
type world struct {
	t     *testing.T
	agent *participant.Agent
	users *pipes
	log   *logged
	stats *health.Recorder
	web   *pipes

	options rpc.ServiceOptions
	picker  rpc.Picker                // nil: always the same instance
	dial    func(*rpc.Endpoint) error // nil: every instance can be connected to
	client  thrift.TClient            // of the routes with a .thrift file
	end     func()                    // ends the client and its server

	mu   sync.Mutex
	seen bytes.Buffer // bytes that the service has read
}

// logged is a log that a test reads while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// tapped records the bytes that its reader reads.
type tapped struct {
	net.Conn
	w *world
}

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.seen.Write(p[:n])
	return n, err
}

// tap is a listener with tapped connections.
type tap struct {
	*pipes
	w *world
}

func (t tap) Accept() (net.Conn, error) {
	c, err := t.pipes.Accept()
	return tapped{c, t.w}, err
}

// arrived returns the bytes that the service has read since the last call.
func (w *world) arrived() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.seen.Reset()
	return w.seen.String()
}

func (w *world) Rollout() *participant.Agent                                { return w.agent }
func (w *world) Picker(string) rpc.Picker                                   { return cmp.Or[rpc.Picker](w.picker, w) }
func (w *world) ServiceOptions(string) rpc.ServiceOptions                   { return w.options }
func (w *world) Report(*rpc.Endpoint, health.Outcome, time.Duration)        {}
func (w *world) Stats() *health.Recorder                                    { return w.stats }
func (w *world) Client(string, ...func(*rpc.ServiceOptions)) thrift.TClient { return w.client }
func (w *world) BeGateway()                                                 {}
func (w *world) AdmitForeign(*rpc.ForeignCall) (func(), error)              { return func() {}, nil }
func (w *world) Dial(_ context.Context, e *rpc.Endpoint) (net.Conn, error) {
	if w.dial != nil {
		if err := w.dial(e); err != nil {
			return nil, err
		}
	}
	return w.web.dial("10.0.0.9")
}
func (w *world) Pick(context.Context, *rpc.Call) (*rpc.Endpoint, error) {
	return &rpc.Endpoint{ID: "web/1", Service: "web", Addr: "10.0.0.9:7001"}, nil
}

// inWorld runs a test in a world with the service h.
func inWorld(t *testing.T, h http.HandlerFunc, play func(w *world), edits ...func(*Config)) {
	inWorldOf(t, func(*world) {}, h, play, edits...)
}

// inWorldOf is inWorld after change has edited the world of the node.
func inWorldOf(t *testing.T, change func(*world), h http.HandlerFunc, play func(w *world), edits ...func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		agent, err := participant.New(participant.Config{Process: "host/1/a"})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{
			t: t, agent: agent, users: newPipes(), web: newPipes(), log: &logged{},
			stats: health.NewRecorder(health.Config{}),
		}
		cfg := Config{
			Gateway: config.Gateway{Routes: []config.Route{{Path: "/", Service: "web"}}},
			Logger:  slog.New(slog.NewTextHandler(w.log, nil)),
			Drain:   time.Second,
		}
		for _, edit := range edits {
			edit(&cfg)
		}
		change(w)
		g, err := New(w, cfg)
		if err != nil {
			t.Fatal(err)
		}
		group := run.NewGroup(t.Context())
		group.Go(func(ctx context.Context) error { return g.Serve(ctx, w.users) })
		server := &http.Server{Handler: h}
		group.Go(func(context.Context) error { _ = server.Serve(tap{w.web, w}); return nil })
		play(w)
		server.Close()
		w.web.Close()
		if err := group.Stop(); err != nil {
			t.Error(err)
		}
		for _, up := range g.ups {
			up.fresh.CloseIdleConnections()
		}
	})
}

// connect connects a user.
func (w *world) connect(from string) net.Conn {
	w.t.Helper()
	c, err := w.users.dial(from)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// answerFrom reads the next response.
func answerFrom(c net.Conn) (status int, text string) {
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(body)
}

func (w *world) traces() int { return len(w.agent.Live()) }

func sayHello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// A body that makes too little progress holds no trace where the gateway keeps it whole, and ends
// after the limit where it streams.
func TestSlowBodies(t *testing.T) {
	for _, c := range []struct {
		name, head string
		traces     int
		drip       time.Duration // between two bytes; 0: no byte comes
	}{
		{"a small body that stops", "Content-Length: 100", 0, 0},
		{"a small body that drips", "Content-Length: 1000", 0, time.Second},
		{"a large body that stops", "Content-Length: 1000000", 1, 0},
		{"a large body that drips", "Content-Length: 1000000", 1, time.Second},
		{"a body without an end", "Transfer-Encoding: chunked", 1, 0},
		{"a promise of a body", "Content-Length: 100\r\nExpect: 100-continue", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); sayHello(w, r) }
			inWorld(t, read, func(w *world) {
				user := w.connect("10.0.0.1")
				defer user.Close()
				begun := time.Now()
				var writing sync.WaitGroup
				writing.Go(func() {
					fmt.Fprintf(user, "POST /x HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", c.head)
					for c.drip > 0 {
						if _, err := user.Write([]byte("x")); err != nil {
							return
						}
						time.Sleep(c.drip)
					}
				})
				time.Sleep(20 * time.Second)
				if n := w.traces(); n != c.traces {
					t.Errorf("%d traces stand while the body comes", n)
				}
				if strings.Contains(c.head, "100-continue") {
					if status, _ := answerFrom(user); status != http.StatusContinue {
						t.Errorf("first %d", status)
					}
				}
				status, text := answerFrom(user)
				took := time.Since(begun)
				if status != http.StatusRequestTimeout || took < 30*time.Second || took > 32*time.Second {
					t.Errorf("%d %s after %v", status, text, took)
				}
				user.Close()
				writing.Wait()
				time.Sleep(31 * time.Second) // time for the service's remaining work
				if n := w.traces(); n != 0 {
					t.Errorf("%d traces stand at the end", n)
				}
			})
		})
	}
}

// Slow connections are allowed: 16 MiB at 1 Mbit/s, a service that reads slowly, and a client and a
// service that talk with pauses.
func TestHonestSlowness(t *testing.T) {
	const size = 16 << 20
	t.Run("line", func(t *testing.T) {
		count := func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		}
		inWorld(t, count, func(w *world) {
			user := w.connect("10.0.0.1")
			defer user.Close()
			fmt.Fprintf(user, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)
			chunk := make([]byte, 12500) // a tenth of a second
			for sent := 0; sent < size; sent += len(chunk) {
				time.Sleep(100 * time.Millisecond)
				if _, err := user.Write(chunk[:min(len(chunk), size-sent)]); err != nil {
					t.Fatal(sent, err)
				}
			}
			if status, text := answerFrom(user); status != http.StatusOK || text != fmt.Sprint(size, nil) {
				t.Errorf("%d %s", status, text)
			}
		})
	})
	t.Run("service", func(t *testing.T) {
		pause := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(25 * time.Second)
			n, _ := io.Copy(io.Discard, r.Body)
			time.Sleep(25 * time.Second)
			fmt.Fprint(w, n)
		}
		inWorld(t, pause, func(w *world) {
			user := w.connect("10.0.0.1")
			defer user.Close()
			fmt.Fprintf(user, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
			if _, err := user.Write(make([]byte, 200_000)); err != nil {
				t.Fatal(err)
			}
			if status, text := answerFrom(user); status != http.StatusOK || text != "200000" {
				t.Errorf("%d %s", status, text)
			}
		})
	})
	t.Run("talk", func(t *testing.T) {
		talk := func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			_ = c.EnableFullDuplex()
			for i := range 8 {
				fmt.Fprint(w, i)
				_ = c.Flush()
				time.Sleep(20 * time.Second)
			}
		}
		inWorld(t, talk, func(w *world) {
			user := w.connect("10.0.0.1")
			defer user.Close()
			fmt.Fprintf(user, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
			if status, text := answerFrom(user); status != http.StatusOK || text != "01234567" {
				t.Errorf("%d %s", status, text)
			}
		})
	})
}

// A client that does not read its response loses the connection. A client that reads slowly gets
// the whole response.
func TestResponsesThatAreNotTaken(t *testing.T) {
	const size = 1 << 20
	flood := func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Second) // the proxy's own flush of the head is over: it holds a mutex, which stops virtual time
		_, _ = w.Write(make([]byte, size))
	}
	inWorld(t, flood, func(w *world) {
		user := w.connect("10.0.0.1")
		fmt.Fprintf(user, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := user.Read(make([]byte, 4<<10)); err != nil { // the head; then the client stops
			t.Fatal(err)
		}
		time.Sleep(32 * time.Second)
		if n, err := io.Copy(io.Discard, user); err != nil || n > size/2 {
			t.Errorf("%d bytes came after a pause, %v", n, err)
		}
		slow := w.connect("10.0.0.1")
		defer slow.Close()
		fmt.Fprintf(slow, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		got, piece := 0, make([]byte, 4<<10)
		for {
			n, err := slow.Read(piece)
			got += n
			if err != nil {
				break
			}
			time.Sleep(10 * time.Second)
		}
		if got < size {
			t.Errorf("a slow client got %d bytes", got)
		}
	}, func(c *Config) { c.Drain = 40 * time.Second })
}

// A WebSocket that is silent both ways is closed. A WebSocket with a message now and then stays
// open.
func TestSilentWebSocket(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		conn, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: %s\r\n\r\n", accept(testKey))
		_, _ = io.Copy(conn, buffer)
	}
	inWorld(t, echo, func(w *world) {
		user := w.connect("10.0.0.1")
		defer user.Close()
		fmt.Fprintf(user, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", testKey)
		reader := bufio.NewReader(user)
		if r, err := http.ReadResponse(reader, nil); err != nil || r.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(r, err)
		}
		piece := make([]byte, 4)
		for range 5 {
			time.Sleep(50 * time.Minute)
			if _, err := user.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(reader, piece); err != nil || string(piece) != "ping" {
				t.Fatalf("%q, %v", piece, err)
			}
		}
		if w.traces() != 1 {
			t.Errorf("%d traces stand", w.traces())
		}
		begun := time.Now()
		if _, err := reader.ReadByte(); err == nil || time.Since(begun) != time.Hour {
			t.Errorf("closed after %v: %v", time.Since(begun), err)
		}
		synctest.Wait()
		if w.traces() != 0 || !strings.Contains(w.log.String(), "end=idle") {
			t.Errorf("%d traces stand; the log: %s", w.traces(), w.log)
		}
	})
}

const testKey = "dGhlIHNhbXBsZSBub25jZQ=="

func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Many idle connections of one address stay open side by side. Under pressure, connections without
// any request are closed, of the address that has most of them.
func TestConnectionsUnderPressure(t *testing.T) {
	inWorld(t, sayHello, func(w *world) {
		get := func(c net.Conn) (int, string) {
			fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
			return answerFrom(c)
		}
		var crowd []net.Conn
		for range 700 { // behind one NAT
			c := w.connect("10.0.0.1")
			if status, text := get(c); status != http.StatusOK {
				t.Fatal(status, text)
			}
			crowd = append(crowd, c)
			defer c.Close()
		}
		for i := range 3000 { // of strangers, silent, over 30 s
			defer w.connect(fmt.Sprint("10.9.0.", 1+i%3)).Close()
			time.Sleep(10 * time.Millisecond)
		}
		for range 40 {
			c := w.connect("10.0.0.2")
			time.Sleep(200 * time.Millisecond) // for a handshake, while strangers connect
			for i := range 20 {
				defer w.connect(fmt.Sprint("10.9.0.", 1+i%3)).Close()
			}
			if status, text := get(c); status != http.StatusOK {
				t.Fatalf("a newcomer got %d %s", status, text)
			}
			defer c.Close()
		}
		for i, c := range crowd {
			if status, text := get(c); status != http.StatusOK {
				t.Fatalf("of the crowd, number %d got %d %s", i, status, text)
			}
		}
		if said := w.log.String(); !strings.Contains(said, "gateway.max_connections") ||
			!strings.Contains(said, "10.9.0.") {
			t.Error("the log does not say that connections were closed")
		}
	}, func(c *Config) { c.MaxConnections = 1000 })
}

// At the limit, the connection that has waited longest for its next request is closed.
func TestFullOfIdleConnections(t *testing.T) {
	inWorld(t, sayHello, func(w *world) {
		var all []net.Conn
		for range 150 {
			c := w.connect("10.0.0.1")
			fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
			if status, text := answerFrom(c); status != http.StatusOK {
				t.Fatal(status, text)
			}
			time.Sleep(10 * time.Millisecond)
			all = append(all, c)
			defer c.Close()
		}
		for i, c := range all {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			if closed := err == io.EOF; closed != (i < 50) {
				t.Errorf("connection %d: %v", i, err)
			}
		}
	}, func(c *Config) { c.MaxConnections = 100 })
}

// A request that is refused does not wait for its body.
func TestRefusedRequestsWaitForNoBody(t *testing.T) {
	inWorld(t, sayHello, func(w *world) {
		user := w.connect("10.0.0.1")
		defer user.Close()
		begun := time.Now()
		fmt.Fprintf(user, "POST /a/%%2e%%2e/b HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
		if status, text := answerFrom(user); status != http.StatusBadRequest || time.Since(begun) != 0 {
			t.Errorf("%d %s after %v", status, text, time.Since(begun))
		}
	})
}

// The limits of HTTP/1.1 hold for the streams of an HTTP/2 connection.
func TestStreamsOfHTTP2(t *testing.T) {
	pattern := httptest.NewUnstartedServer(nil)
	pattern.StartTLS() // for its certificate
	defer pattern.Close()
	var now, most atomic.Int64
	slow := func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(time.Second)
		sayHello(w, r)
	}
	inWorld(t, slow, func(w *world) {
		roots := x509.NewCertPool()
		roots.AddCert(pattern.Certificate())
		var dials atomic.Int64
		transport := &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: "example.com"},
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				dials.Add(1)
				return w.users.dial("10.0.0.1")
			},
		}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		do := func(body io.Reader) (int, string) {
			request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "https://example.com/x", body)
			if err != nil {
				t.Fatal(err)
			}
			if body != nil {
				request.ContentLength = 100
			}
			answer, err := client.Do(request)
			if err != nil {
				return 0, err.Error()
			}
			defer answer.Body.Close()
			text, _ := io.ReadAll(answer.Body)
			return answer.StatusCode, fmt.Sprint(answer.ProtoMajor, " ", string(text))
		}
		if status, text := do(nil); status != http.StatusOK || text != "2 hello" {
			t.Fatal(status, text)
		}
		stuck, never := io.Pipe()
		var load sync.WaitGroup
		load.Go(func() {
			begun := time.Now()
			status, text := do(stuck)
			if took := time.Since(begun); status != http.StatusRequestTimeout || took < 30*time.Second ||
				took > 34*time.Second {
				t.Errorf("a stream that stalls: %d %s after %v", status, text, took)
			}
			never.Close()
		})
		for range 250 {
			load.Go(func() {
				if status, text := do(nil); status != http.StatusOK {
					t.Errorf("%d %s", status, text)
				}
			})
		}
		load.Wait()
		if most.Load() > maxStreams*dials.Load() {
			t.Errorf("%d requests at a time by %d connections", most.Load(), dials.Load())
		}
		if w.traces() != 0 {
			t.Errorf("%d traces stand", w.traces())
		}
	}, func(c *Config) { c.ServerTLS = &tls.Config{Certificates: pattern.TLS.Certificates} })
}
