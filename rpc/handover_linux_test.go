package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// A server takes another one's place on a Unix socket under load: no call is lost and none is
// executed twice.
func TestHandoverLosesNoCall(t *testing.T) {
	var executed atomic.Int64
	s := serve(t, ServerConfig{}, &handler{name: "a", seen: func(context.Context) { executed.Add(1) }})
	to, err := client(t, ClientConfig{}, s.endpoint()).Service("echo", ServiceOptions{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "relay.sock")
	var stop atomic.Bool
	var calls, failed atomic.Int64
	current := takeOver(t, to, path, 0)
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for !stop.Load() {
				if err := callOnce(path, i%2 == 0, &stop, &calls); err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 1; n <= 20; n++ {
		before := calls.Load()
		within(time.Minute, func() bool { return calls.Load() >= before+100 || failed.Load() > 0 })
		next := takeOver(t, to, path, n)
		if err := current.Handover(t.Context()); err != nil {
			t.Error(err)
		}
		current = next
	}
	stop.Store(true)
	callers.Wait()
	if calls.Load() != executed.Load() {
		t.Errorf("%d calls succeeded, %d were executed", calls.Load(), executed.Load())
	}
	t.Logf("%d calls over 20 takeovers", calls.Load())
}

// lateListener is a listener in a process that gets no processor until its first deadline is over.
type lateListener struct {
	*net.UnixListener
	late chan struct{} // closed by the first deadline
	once sync.Once
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.late
	return l.UnixListener.Accept()
}

func (l *lateListener) SetDeadline(at time.Time) error {
	l.once.Do(func() { at = time.Unix(1, 0) })
	defer func() {
		select {
		case <-l.late:
		default:
			close(l.late)
		}
	}()
	return l.UnixListener.SetDeadline(at)
}

// A connection that waits when the deadline of the handover is over is accepted and answered.
func TestHandoverAcceptsWhatWaitsAfterItsDeadline(t *testing.T) {
	s, err := NewServer(ServerConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handle("echo", "", echo.NewEchoProcessor(&handler{name: "a"})); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), &lateListener{UnixListener: l, late: make(chan struct{})}) }()
	eventually(t, "the server accepts", func() bool { return s.accepts.Load() == 1 })
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write(plainMessage("echo:who", thrift.CALL, 7)); err != nil {
		t.Fatal(err)
	}
	if err := s.Handover(t.Context()); err != nil {
		t.Error(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := readFrame(nc); err != nil {
		t.Errorf("the reply: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// takeOver serves at path in place of the earlier server.
func takeOver(t *testing.T, to thrift.TClient, path string, n int) *relay {
	t.Helper()
	own := fmt.Sprint(path, ".", n)
	r := serveRelay(t, ServerConfig{}, to, own)
	eventually(t, "the server accepts", func() bool { return r.accepts.Load() == 1 })
	if err := errors.Join(os.Link(own, own+".new"), os.Rename(own+".new", path)); err != nil {
		t.Fatal(err)
	}
	return r
}

// callOnce makes calls on a connection until it ends: all of them, or one. A call that fails with
// EPIPE was not executed, and is made again on another connection.
func callOnce(path string, many bool, stop *atomic.Bool, calls *atomic.Int64) error {
	nc, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer nc.Close()
	for {
		if _, err := nc.Write(plainMessage("echo:who", thrift.CALL, 7)); err != nil {
			if errors.Is(err, syscall.EPIPE) {
				return nil
			}
			return fmt.Errorf("write: %w", err)
		}
		_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		switch reply, err := readFrame(nc); {
		case err != nil:
			return fmt.Errorf("read the reply: %w", err)
		case reply[3] != byte(thrift.REPLY):
			return fmt.Errorf("the reply is an exception: %q", reply)
		}
		calls.Add(1)
		if !many || stop.Load() {
			return nil
		}
	}
}
