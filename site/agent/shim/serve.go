package shim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of the protocol.
const (
	maxConns    = 32
	maxRequest  = 4 << 10
	requestTime = 5 * time.Second  // to send a request
	writeTime   = 30 * time.Second // for a reader of a log to take what was written
)

// request is the line that a client sends. A connection carries one.
type request struct {
	V       int    `json:"v"`
	Do      string `json:"do"`                 // status, stop, kill, restart, wait, watch or logs
	GraceMS *int64 `json:"grace_ms,omitempty"` // of stop and restart; absent: that of the Spec
	Lines   int    `json:"lines,omitempty"`    // of logs: how many of those that are there
	Follow  bool   `json:"follow,omitempty"`   // of logs
}

// reply is the line that the shim answers. The lines of a log follow it.
type reply struct {
	V     int    `json:"v"`
	Error string `json:"error,omitempty"`
	State *State `json:"state,omitempty"`
}

// order is a request that a connection passes to the loop of the shim.
type order struct {
	do    string
	grace time.Duration
	reply chan error
}

// server answers on the socket.
type server struct {
	dir    string
	spec   *Spec
	states *keeper
	log    *logger
	orders chan order
	gone   chan struct{} // closed: the instance has ended for good
	busy   *atomic.Bool  // set with each request

	conns sync.WaitGroup
}

// listen opens the socket. A file of its name is left from a shim that is gone, because the caller has the lock.
func listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, "sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil && len(path) > 100 {
		return nil, fmt.Errorf("the path %q is too long for a socket; choose a shorter directory: %w", path, err)
	}
	return l, err
}

func (s *server) run(ctx context.Context, l net.Listener) {
	places := make(chan struct{}, maxConns)
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			<-places // too many files are open: the next try may find one
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		s.conns.Go(func() {
			defer func() { <-places }()
			defer c.Close()
			s.serve(ctx, c)
		})
	}
}

// serve answers one request.
func (s *server) serve(ctx context.Context, c net.Conn) {
	c.SetReadDeadline(time.Now().Add(requestTime))
	line, err := bufio.NewReaderSize(io.LimitReader(c, maxRequest), 512).ReadBytes('\n')
	if err != nil {
		return
	}
	c.SetReadDeadline(time.Time{})
	s.busy.Store(true)
	var q request
	if err := json.Unmarshal(line, &q); err != nil {
		s.answer(c, fmt.Errorf("the request is not understood: %w", err))
		return
	}
	if q.V != version {
		s.answer(c, fmt.Errorf("version %d: this shim speaks version %d", q.V, version))
		return
	}
	switch q.Do {
	case DoStatus:
		s.answer(c, nil)
	case DoStop, DoKill, DoRestart:
		s.answer(c, s.order(ctx, q))
	case DoWait:
		ctx, cancel := withPeer(ctx, c)
		defer cancel()
		select {
		case <-s.gone:
			s.answer(c, nil)
		case <-ctx.Done():
		}
	case doWatch:
		s.watch(ctx, c)
	case "logs":
		s.logs(ctx, c, q)
	default:
		s.answer(c, fmt.Errorf("%q is none of status, stop, kill, restart, wait, watch, logs", q.Do))
	}
}

func (s *server) order(ctx context.Context, q request) error {
	o := order{do: q.Do, grace: s.spec.grace(), reply: make(chan error, 1)}
	if q.GraceMS != nil {
		if *q.GraceMS < 0 || *q.GraceMS > maxGrace.Milliseconds() {
			return fmt.Errorf("grace_ms %d is not between 0 and an hour", *q.GraceMS)
		}
		o.grace = time.Duration(*q.GraceMS) * time.Millisecond
	}
	select {
	case s.orders <- o:
	case <-s.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.reply:
		return err
	case <-s.gone:
		return nil
	}
}

// watch answers with the state, and again with each change of it. Changes that come while the client reads are one.
func (s *server) watch(ctx context.Context, c net.Conn) {
	ctx, cancel := withPeer(ctx, c)
	defer cancel()
	for {
		state, changed := s.states.watch()
		if s.send(c, state, nil) != nil {
			return
		}
		select {
		case <-changed:
		case <-s.gone:
			s.answer(c, nil)
			return
		case <-ctx.Done():
			return
		}
	}
}

func (s *server) answer(c net.Conn, err error) error { return s.send(c, s.states.get(), err) }

func (s *server) send(c net.Conn, state State, err error) error {
	r := reply{V: version, State: &state}
	if err != nil {
		r.Error = err.Error()
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	c.SetWriteDeadline(time.Now().Add(writeTime))
	_, err = c.Write(append(line, '\n'))
	return err
}

func (s *server) logs(ctx context.Context, c net.Conn, q request) {
	x, err := follow(s.dir, s.log, q.Lines)
	if s.answer(c, err) != nil || err != nil {
		if x != nil {
			x.close()
		}
		return
	}
	ctx, cancel := withPeer(ctx, c)
	defer cancel()
	_ = x.run(ctx, timedWriter{c}, q.Follow) // an error is the end of the reader's connection
}

// withPeer ends a context when the other side closes its connection.
func withPeer(ctx context.Context, c net.Conn) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		var b [1]byte
		c.Read(b[:]) // returns when either side closes
		cancel()
	}()
	return ctx, cancel
}

// timedWriter bounds each write, so that a client that does not read loses its place.
type timedWriter struct{ net.Conn }

func (w timedWriter) Write(b []byte) (int, error) {
	w.SetWriteDeadline(time.Now().Add(writeTime))
	return w.Conn.Write(b)
}
