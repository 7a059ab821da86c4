package pgtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/skerry/skerry/internal/run"
)

// Proxy is a cable between one client and a server. Tests can cut it. Its methods may be called
// from any goroutine.
type Proxy struct {
	listener net.Listener
	target   string
	group    *run.Group

	mu    sync.Mutex
	cut   chan struct{} // open while the cable is cut: no byte passes, no connection closes
	conns map[net.Conn]struct{}
	ever  int // connections that clients have opened
}

// Proxy returns a cable to the server for the duration of the test.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		listener: l,
		target:   net.JoinHostPort(s.Host, strconv.Itoa(s.Port)),
		group:    run.NewGroup(context.Background()),
		conns:    map[net.Conn]struct{}{},
	}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Heal()
		p.Sever()
		_ = p.group.Stop()
	})
	return p
}

// URL leads a connection string of the server through the proxy.
func (p *Proxy) URL(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Cut stops all bytes without a notice to either end, as a pulled cable does.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil {
		p.cut = make(chan struct{})
	}
}

// Heal lets the waiting bytes through.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut != nil {
		close(p.cut)
		p.cut = nil
	}
}

// Sever closes the open connections.
func (p *Proxy) Sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Count returns how many ends of connections are open now, and how many connections clients have
// ever opened.
func (p *Proxy) Count() (ends, ever int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns), p.ever
}

func (p *Proxy) accept(context.Context) error {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return nil // closed by the end of the test
		}
		p.mu.Lock()
		p.ever++
		p.mu.Unlock()
		p.group.Go(func(ctx context.Context) error {
			p.serve(ctx, c)
			return nil
		})
	}
}

func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	defer p.hold(client)()
	p.pass(ctx)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.hold(server)()
	both := run.NewGroup(ctx)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func(ctx context.Context) error {
			p.copy(ctx, way[1], way[0])
			return errEnded // the end of one way also ends the other
		})
	}
	<-both.Context().Done()
	p.pass(ctx) // the end of a connection does not pass a cut cable either
	_ = client.Close()
	_ = server.Close()
	_ = both.Wait()
}

var errEnded = errors.New("the connection has ended")

func (p *Proxy) hold(c net.Conn) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		_ = c.Close()
	}
}

// pass waits while the cable is cut.
func (p *Proxy) pass(ctx context.Context) {
	p.mu.Lock()
	cut := p.cut
	p.mu.Unlock()
	if cut == nil {
		return
	}
	select {
	case <-cut:
	case <-ctx.Done():
	}
}

func (p *Proxy) copy(ctx context.Context, to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.pass(ctx)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
