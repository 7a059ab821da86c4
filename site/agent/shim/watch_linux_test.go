package shim

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestWatchTellsChanges: the first state, the start after a kill, the polite end; then the shim is gone.
func TestWatchTellsChanges(t *testing.T) {
	t.Parallel()
	w := hold(t, `echo $$ >>"$1/pids"; exec sleep 1000`, nil)
	states := make(chan State, 100)
	ended := make(chan error, 1)
	go func() { ended <- Watch(t.Context(), w.dir, func(s State) { states <- s }) }()
	until := func(what string, is func(State) bool) State {
		t.Helper()
		for {
			select {
			case s := <-states:
				if is(s) {
					return s
				}
			case <-time.After(patience):
				t.Fatalf("never told: %s", what)
			}
		}
	}
	first := until("up", func(s State) bool { return s.Phase == Up })
	syscall.Kill(first.Child.PID, syscall.SIGKILL)
	until("up again", func(s State) bool { return s.Phase == Up && s.Restarts == 1 && s.Child.PID != first.Child.PID })
	w.must(DoStop)
	until("stopped", func(s State) bool { return s.Phase == Stopped })
	if err := <-ended; err == nil {
		t.Error("the watch of a shim that has ended has no error")
	}
	w.until("gone", func() bool { return errors.Is(Watch(t.Context(), w.dir, func(State) {}), ErrGone) })
}

// TestWatchOfAnOldShim: a shim that does not know watch says so, and is asked.
func TestWatchOfAnOldShim(t *testing.T) {
	dir := privateDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Read(make([]byte, 1000))
		c.Write([]byte(`{"v":1,"error":"\"watch\" is none of status, stop","state":{"v":1}}` + "\n"))
	}()
	err = Watch(t.Context(), dir, func(State) { t.Error("it has told a state") })
	if !errors.Is(err, ErrNoWatch) {
		t.Errorf("%v", err)
	}
}

// TestWatchEndsWithItsContext: the shim gives the place of the connection back.
func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := hold(t, `exec sleep 1000`, nil)
	for range 2 * maxConns {
		ctx, cancel := context.WithCancel(t.Context())
		if err := Watch(ctx, w.dir, func(State) { cancel() }); err == nil {
			t.Fatal("no error")
		}
	}
	if s := w.must(DoStatus); s.Shim.PID == os.Getpid() {
		t.Errorf("%+v", s)
	}
}
