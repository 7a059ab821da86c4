package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// Serve serves users on a port until ctx ends. Then it accepts no further connection, lets running
// requests and WebSockets go on for Config.Drain, and cuts off the rest. It closes l. It returns
// nil after a stop; an error means that the port has failed.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := g.server()
	server.BaseContext = func(net.Listener) context.Context { return base }
	group := run.NewGroup(ctx)
	group.Go(func(context.Context) error {
		err := listen(server, newCrowd(l, g.cfg, ctx.Done()))
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	})
	<-group.Context().Done()
	g.stop()
	limited, cancel := context.WithTimeout(base, g.cfg.Drain)
	defer cancel()
	if server.Shutdown(limited) != nil || !g.inUse.idle(limited) {
		g.cfg.Logger.Warn("requests or WebSockets did not end in time and were cut off", "after", g.cfg.Drain)
	}
	cut()
	server.Close()
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	g.inUse.idle(rest)
	for _, up := range g.ups {
		up.kept.CloseIdleConnections()
	}
	return group.Wait()
}

func (g *Gateway) server() *http.Server {
	return &http.Server{
		Handler:                      g,
		ReadHeaderTimeout:            readHeaders,
		IdleTimeout:                  idleLimit,
		MaxHeaderBytes:               g.cfg.MaxHeader,
		TLSConfig:                    g.cfg.ServerTLS,
		ErrorLog:                     log.New(serverLog{g.cfg.Logger}, "", 0),
		DisableGeneralOptionsHandler: true, // "OPTIONS *" names no path of a site
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, clientKey{}, clientOf(conn))
		},
		ConnState: func(conn net.Conn, s http.ConnState) {
			if c := clientOf(conn); c != nil {
				c.state(s)
			}
		},
	}
}

// serverLog receives the messages of http.Server. Most of them concern what clients send, and come in
// any number.
type serverLog struct{ *slog.Logger }

// Write logs one line.
func (l serverLog) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, string(bytes.TrimSpace(line))
	if strings.HasPrefix(text, "http: panic") {
		level = slog.LevelError
	}
	l.Log(context.Background(), level, "the HTTP server reports an error", "err", text)
	return len(line), nil
}

// Limits of an HTTP/2 connection. net/http ends a connection that resets streams faster than
// handlers end.
const (
	maxStreams = 100
	pingAfter  = 30 * time.Second // of silence
)

func listen(s *http.Server, l net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

// inUse counts running requests, including those that have become WebSockets, which http.Server no
// longer counts.
type inUse struct {
	mu    sync.Mutex
	n     int
	empty chan struct{} // closed when n is 0; nil while no goroutine waits
}

func (u *inUse) begin() (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.n--; u.n == 0 && u.empty != nil {
			close(u.empty)
			u.empty = nil
		}
	}
}

// idle waits until no request is running, and reports whether that happened before ctx ended.
func (u *inUse) idle(ctx context.Context) bool {
	u.mu.Lock()
	if u.n == 0 {
		u.mu.Unlock()
		return true
	}
	if u.empty == nil {
		u.empty = make(chan struct{})
	}
	empty := u.empty
	u.mu.Unlock()
	select {
	case <-empty:
		return true
	case <-ctx.Done():
		return false
	}
}
