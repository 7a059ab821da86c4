package rpc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// A retired plain server gets its threads back at once: they are needed by another client.
func TestRetiredPlainServerGetsItsThreadsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := servePlain(t, l, 100, echo.NewEchoProcessor(&handler{name: "a"}))
		e := plainEndpoint("a")
		e.Pool = Pool{Most: 8, Idle: time.Hour}
		c := client(t, ClientConfig{Dial: l.dial}, e)
		call := stub(t, c, ServiceOptions{Timeout: time.Minute})
		if _, err := call().Who(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if open := s.open.Load(); open != 1 {
			t.Fatalf("%d connections are kept, want 1", open)
		}
		e.Retire()
		synctest.Wait()
		if open := s.open.Load(); open != 0 {
			t.Errorf("%d connections stand after the server was retired", open)
		}
	})
}

// An endpoint may be called after it was retired, as a proxy's program is while the proxy is
// upgraded. Tidying ends no connection that a call has taken since the number of calls was read.
func TestTidyingSparesCallsOfARetiredEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		servePlain(t, l, 100, echo.NewEchoProcessor(&handler{name: "a"}))
		e := plainEndpoint("a")
		c := client(t, ClientConfig{Dial: l.dial}, e)
		e.Retire()
		taken, err := c.pool(e).acquire(t.Context(), 0) // by a call that Pending did not count yet
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c.tidy()
		}
		if !taken.alive() {
			t.Error("the connection of a call was closed")
		}
		c.pool(e).release(taken)
		if taken.alive() {
			t.Error("the connection outlives its call")
		}
	})
}
