package console

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/connlimit"
)

// The bounds of a listener. Package connlimit chooses the connections that close for new ones: at first those on which
// no session has asked for anything.
const (
	mostConns    = 256
	addressConns = 64               // of one address, which may be that of a tunnel for many operators
	headerTime   = 10 * time.Second // for a handshake, and for the head of a request
	restTime     = time.Minute      // between two requests
	pieceTime    = 30 * time.Second // for a browser to take some of an answer
	headSize     = 16 << 10         // bytes
	connStreams  = 100              // requests at once on one connection of HTTP/2
)

// listener accepts the connections of browsers.
type listener struct {
	net.Listener
	places *connlimit.Limiter[*conn]
	log    *slog.Logger

	mu     sync.Mutex
	closed int // since the last line of the log
	said   time.Time
}

// conn is a connection of a browser.
type conn struct {
	net.Conn
	place *connlimit.Place[*conn]
}

func newListener(l net.Listener, log *slog.Logger) *listener {
	return &listener{Listener: l, places: connlimit.New[*conn](mostConns, addressConns), log: log}
}

// Accept returns the next connection that has a place.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw}
		place, out := l.places.Enter(raw.RemoteAddr(), c)
		c.place = place
		if out != nil {
			l.report(out)
			out.Conn.Close()
		}
		if out != place {
			return c, nil
		}
	}
}

// report logs once a minute that connections were closed.
func (l *listener) report(out *connlimit.Place[*conn]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed++
	if now := time.Now(); now.Sub(l.said) >= time.Minute {
		l.log.Warn("connections to the console closed, as there are almost as many as it takes", "closed", l.closed,
			"connections", l.places.Open(), "most", mostConns, "of_an_address", addressConns,
			"from", out.From().String())
		l.said, l.closed = now, 0
	}
}

// Write gives a browser some time to take each piece.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(pieceTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.place.Leave()
	return c.Conn.Close()
}

type connKey struct{}

// connOf finds the connection below those that a server wraps around it; nil for none.
func connOf(wrapped net.Conn) *conn {
	for {
		switch c := wrapped.(type) {
		case *conn:
			return c
		case interface{ NetConn() net.Conn }:
			wrapped = c.NetConn()
		default:
			return nil
		}
	}
}

// trusted notes that a session uses the connection of a request.
func trusted(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok && c != nil {
		c.place.Answered()
	}
}

// Serve serves browsers on a port until ctx ends, and closes it; by TLS unless secure is nil. The number of connections
// is bounded, also for each address. It returns nil after a stop; an error means that the port has failed.
func (c *Console) Serve(ctx context.Context, l net.Listener, secure *tls.Config) error {
	s := &http.Server{
		Handler:                      c,
		ReadHeaderTimeout:            headerTime,
		IdleTimeout:                  restTime,
		MaxHeaderBytes:               headSize,
		TLSConfig:                    secure,
		ErrorLog:                     log.New(serverLog{c.log}, "", 0),
		DisableGeneralOptionsHandler: true,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: connStreams, SendPingTimeout: pieceTime},
		ConnContext: func(ctx context.Context, wrapped net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, connOf(wrapped))
		},
		ConnState: func(wrapped net.Conn, state http.ConnState) {
			if c := connOf(wrapped); c != nil {
				c.place.Waits(state == http.StateIdle)
			}
		},
	}
	stop := context.AfterFunc(ctx, func() { s.Close() }) // pages that renew themselves would not end
	defer stop()
	serve := s.Serve
	if secure != nil {
		serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
	}
	if err := serve(newListener(l, c.log)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serverLog receives the messages of http.Server. Most of them concern what clients send, and come in any number.
type serverLog struct{ *slog.Logger }

// Write logs one line.
func (l serverLog) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, string(bytes.TrimSpace(line))
	if strings.HasPrefix(text, "http: panic") {
		level = slog.LevelError
	}
	l.Log(context.Background(), level, "the console's port", "err", text)
	return len(line), nil
}
