package rpc

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// plainServer is a stock server with a pool of threads, as in other languages: each connection has
// a thread until it ends.
type plainServer struct {
	processor thrift.TProcessor
	threads   chan struct{}
	open      atomic.Int32 // connections
	most      atomic.Int32 // of them
	group     sync.WaitGroup
}

func servePlain(t *testing.T, l net.Listener, threads int, p thrift.TProcessor) *plainServer {
	t.Helper()
	s := &plainServer{processor: p, threads: make(chan struct{}, threads)}
	s.group.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.most.Store(max(s.most.Load(), s.open.Add(1)))
			s.group.Go(func() { s.serve(nc) })
		}
	})
	t.Cleanup(func() { l.Close(); s.group.Wait() })
	return s
}

func (s *plainServer) serve(nc net.Conn) {
	defer s.open.Add(-1)
	defer nc.Close()
	s.threads <- struct{}{}
	defer func() { <-s.threads }()
	conf := &thrift.TConfiguration{}
	p := thrift.NewTBinaryProtocolConf(
		thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(nc, conf), conf),
		conf,
	)
	for {
		if ok, err := s.processor.Process(context.Background(), p, p); !ok && err != nil {
			return
		}
	}
}

func plainEndpoint(addr string) *Endpoint {
	return &Endpoint{ID: addr, Service: "echo", Addr: addr, Protocol: "framed-binary"}
}

// Few connections to a plain server are kept without a call, and they are closed within two
// seconds.
func TestPlainConnectionsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := servePlain(t, l, 100, echo.NewEchoProcessor(&handler{name: "a"}))
		c := client(t, ClientConfig{Dial: l.dial}, plainEndpoint("a"))
		call := stub(t, c, ServiceOptions{Timeout: time.Minute})
		var calls sync.WaitGroup
		for range 16 {
			calls.Go(func() {
				if _, err := call().Sleep(t.Context(), 500); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		synctest.Wait()
		if most, open := s.most.Load(), s.open.Load(); most != 16 || open != idleConns {
			t.Errorf("16 calls made %d connections, of which %d stay; want %d", most, open, idleConns)
		}
		time.Sleep(plainIdle + tidyPeriod + sweepPeriod)
		synctest.Wait()
		if open := s.open.Load(); open != 0 {
			t.Errorf("%d connections stand without a call", open)
		}
		if _, err := call().Who(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Two consumers with 16 callers each share a server of 8 threads without a failed call, and pings
// are answered.
func TestPlainServerWithFewThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const threads = 8
		l := newMemoryListener()
		s := servePlain(t, l, threads, echo.NewEchoProcessor(&handler{name: "a"}))
		var load sync.WaitGroup
		var clients []*Client
		for range 2 {
			e := plainEndpoint("a")
			e.Concurrency = threads
			c := client(t, ClientConfig{Dial: l.dial}, e)
			clients = append(clients, c)
			call := stub(t, c, ServiceOptions{Retries: new(0)})
			for range 16 {
				load.Go(func() {
					for range 60 {
						if _, err := call().Sleep(t.Context(), 10); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
		}
		load.Wait()
		if most := s.most.Load(); most > 2*threads { // a new one may come before the server has closed the old one
			t.Errorf("%d connections for %d threads", most, threads)
		}
		third := plainEndpoint("a")
		c := client(t, ClientConfig{Dial: l.dial}, third)
		time.Sleep(plainIdle + tidyPeriod + sweepPeriod)
		if err := c.Check(t.Context(), third); err != nil {
			t.Error(err)
		}
		for _, c := range clients {
			c.eachPool(func(p *connPool) {
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.plain.used != 0 || len(p.plain.idle) != 0 || len(p.plain.queue) != 0 {
					t.Errorf("%d places used, %d idle, %d wait", p.plain.used, len(p.plain.idle), len(p.plain.queue))
				}
			})
		}
	})
}

// A call that waits for a connection gives up by its deadline, unexecuted, and leaves no place
// taken.
func TestWaitForAPlainConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		servePlain(t, l, 1, echo.NewEchoProcessor(&handler{name: "a"}))
		e := plainEndpoint("a")
		e.Concurrency = 1
		c := client(t, ClientConfig{Dial: l.dial}, e)
		long := make(chan error, 1)
		go func() {
			_, err := stub(t, c, ServiceOptions{Timeout: time.Minute})().Sleep(t.Context(), 3000)
			long <- err
		}()
		synctest.Wait()
		_, err := stub(t, c, ServiceOptions{})().Who(t.Context())
		wantCode(t, err, DeadlineExceeded, NotExecuted)
		if err := <-long; err != nil {
			t.Error(err)
		}
		if _, err := stub(t, c, ServiceOptions{})().Who(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A server that accepts connections and answers nothing does not count as answering. Any answer
// counts.
func TestCheckOfForeignServers(t *testing.T) {
	for _, c := range []struct {
		name, protocol string
		serve          func(net.Conn)
		ok             bool
	}{
		{"frozen", "framed-binary", func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }, false},
		{"frozen HTTP", "http", func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }, false},
		{"frozen compact", "unframed-compact", func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }, false},
		{"closes", "framed-binary", func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1)) }, true},
		{"HTTP", "http", func(nc net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(nc))
			if err != nil || r.Method != http.MethodOptions || r.RequestURI != "*" || r.Host == "" {
				t.Errorf("%+v, %v", r, err)
			}
			_, _ = io.WriteString(nc, "HTTP/1.1 501 Not Implemented\r\n\r\n")
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMemoryListener()
				go func() {
					for nc, err := l.Accept(); err == nil; nc, err = l.Accept() {
						go func() { defer nc.Close(); c.serve(nc) }()
					}
				}()
				defer l.Close()
				w := &watcher{}
				e := plainEndpoint("a")
				e.Protocol = c.protocol
				asker := client(t, ClientConfig{Dial: l.dial, Watcher: w})
				begun := time.Now()
				err := asker.Check(t.Context(), e)
				if took := time.Since(begun); (err == nil) != c.ok || took > 2*time.Second {
					t.Errorf("after %v: %v", took, err)
				}
				if down, _, _ := w.counts(); down != 0 {
					t.Errorf("told %d times that it is down", down)
				}
				_ = asker.Close()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := servePlain(t, l, 1, echo.NewEchoProcessor(&handler{name: "a"}))
		e := plainEndpoint("a")
		c := client(t, ClientConfig{Dial: l.dial}, e)
		if _, err := stub(t, c, ServiceOptions{})().Who(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context(), e); err != nil || s.most.Load() != 1 { // its one thread has the idle connection
			t.Errorf("%v, %d connections", err, s.most.Load())
		}
	})
}

// Calls to stock servers behind TMultiplexedProcessor carry the prefix of the endpoint, or else of
// the consumer.
func TestMultiplexedServers(t *testing.T) {
	for _, k := range stocks() {
		t.Run(k.protocol, func(t *testing.T) {
			h := &handler{name: "stock", notes: make(chan string, 1)}
			sock, err := thrift.NewTServerSocket("127.0.0.1:0")
			if err == nil {
				err = sock.Listen()
			}
			if err != nil {
				t.Fatal(err)
			}
			all := thrift.NewTMultiplexedProcessor()
			all.RegisterProcessor("Other", echo.NewEchoProcessor(&handler{name: "other"}))
			all.RegisterProcessor("Echo", echo.NewEchoProcessor(h))
			server := thrift.NewTSimpleServer4(all, sock, k.transport, k.encoding)
			var done sync.WaitGroup
			done.Go(func() { _ = server.Serve() })
			defer done.Wait()
			defer server.Stop()
			e := &Endpoint{ID: "stock", Service: "echo", Addr: sock.Addr().String(), Protocol: k.protocol}
			named := &Endpoint{ID: "named", Service: "echo", Addr: e.Addr, Protocol: k.protocol, Prefix: "Echo"}
			c := client(t, ClientConfig{}, named)
			exercise(t, stub(t, c, ServiceOptions{Prefix: "Other"}), h)
			if err := c.Check(t.Context(), named); err != nil {
				t.Error(err)
			}
			bare := client(t, ClientConfig{}, e)
			exercise(t, stub(t, bare, ServiceOptions{Prefix: "Echo"}), h)
			_ = c.Close()
			_ = bare.Close()
		})
	}
}

// Each attempt sends the prefix of its own server.
func TestPrefixOfEachAttempt(t *testing.T) {
	var mu sync.Mutex
	var names []string
	dial := func(_ context.Context, addr string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			head := make([]byte, 256)
			n, _ := far.Read(head)
			mu.Lock()
			defer mu.Unlock()
			names = append(names, addr+" "+string(head[:n]))
		}()
		return near, nil
	}
	a, b := plainEndpoint("a"), plainEndpoint("b")
	a.Prefix, b.Prefix = "Long", "B"
	c := client(t, ClientConfig{Dial: dial}, a, b)
	_, err := stub(t, c, ServiceOptions{Idempotent: []string{"*"}, Prefix: "None"})().Who(t.Context())
	wantCode(t, err, ConnectionLost, MaybeExecuted)
	mu.Lock()
	defer mu.Unlock()
	for _, name := range names {
		want := map[byte]string{'a': "Long:who", 'b': "B:who"}[name[0]]
		if !strings.Contains(name, want) {
			t.Errorf("%q: want %s", name, want)
		}
	}
	if len(names) != 2 {
		t.Errorf("attempts: %q", names)
	}
}
