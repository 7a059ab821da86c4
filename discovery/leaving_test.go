package discovery

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// leaving are instances; the first is stopping.
func leaving(ns ...int) []registry.Instance {
	list := instances(ns...)
	list[0].Leaving = true
	return list
}

// TestLeavingIsTheLastChoice: a leaving instance is called when there is no other, whichever source
// says so and in whatever state it is.
func TestLeavingIsTheLastChoice(t *testing.T) {
	for _, balancer := range balancers() {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Options = always(Options{Balancer: balancer}) })
			defer w.stop()
			w.db.lists(1, 2)
			w.lan.lists(1, 2)
			w.expect("two that stay", 1, 2)
			w.lan.say(registry.Snapshot{Service: "auth", Instances: leaving(1, 2)})
			w.expect("one of them is stopping, as the LAN says", 2)
			w.expectEntry(1, Leaving, "is stopping")
			w.kill(errRefused, 2)
			w.Down(w.endpoint(2), true, errRefused)
			w.expect("the other one is suspect", 2)
			w.db.parts(registry.Deregistered, 2, 1)
			w.lan.parts(registry.Deregistered, 2)
			w.lan.say(registry.Snapshot{Service: "auth", Instances: leaving(1)})
			w.expect("no other one is left", 1)
			w.lan.say(registry.Snapshot{Service: "auth", Instances: leaving(1, 3)})
			w.expect("a new one", 3)
			w.db.parts(registry.Deregistered, 1)
			w.expectEntry(1, Gone, "withdrawn by database")
		})
	}
}

// TestLeavingIsNotRemembered: a cold start calls an instance that was leaving when the list was
// saved, as it may have been started again.
func TestLeavingIsNotRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.db.say(registry.Snapshot{Service: "auth", Instances: leaving(1)})
		synctest.Wait()
		list, known := w.service("auth").listed()
		if !known || len(list) != 1 || list[0].Leaving {
			t.Errorf("saved: %+v, %v", list, known)
		}
	})
}

// TestWaitForTheNext: a call that waits gets the first instance that comes, even after it has tried
// all that were there. It also gets a tried instance that is well again. At the end of its context
// it gets an error with the reason of the wait.
func TestWaitForTheNext(t *testing.T) {
	dies := func(w *world) {
		w.db.lists(1)
		synctest.Wait()
		w.kill(errRefused, 1)
		w.Down(w.endpoint(1), true, errRefused)
	}
	for name, c := range map[string]struct {
		before func(w *world)
		comes  func(w *world)
		want   int    // number of the picked instance; 0: none
		says   string // part of the error
	}{
		"nobody, and one comes":    {nil, func(w *world) { w.db.lists(4) }, 4, ""},
		"nobody comes":             {nil, nil, 0, "no process has registered auth"},
		"the only one is replaced": {dies, func(w *world) { w.db.lists(1, 2) }, 2, ""},
		"it recovers":              {dies, func(w *world) { w.revive(1) }, 1, ""},
		"it does not":              {dies, nil, 0, "has tried each of the 1 of auth"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, nil)
				defer w.stop()
				w.lan.lists()
				w.db.lists()
				tried := &rpc.Call{Wait: true}
				if c.before != nil {
					c.before(w)
					tried.Try(w.endpoint(1))()
				}
				w.after(10 * time.Second)
				if c.comes != nil {
					time.AfterFunc(700*time.Millisecond, func() { c.comes(w) })
				}
				ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
				defer cancel()
				begin := time.Now()
				e, err := w.Resolve("auth").Pick(ctx, tried)
				switch took := time.Since(begin); {
				case c.want == 0:
					if !errors.Is(err, rpc.ErrNoInstance) || !errors.Is(err, context.DeadlineExceeded) ||
						took != 8*time.Second ||
						!strings.Contains(err.Error(), c.says) ||
						!strings.Contains(err.Error(), "none came in 8s") {
						t.Errorf("after %v: %v", took, err)
					}
				case err != nil || e.Addr != instance(c.want).Addr():
					t.Errorf("after %v: %v, %v; want %d", took, e, err, c.want)
				case name != "it recovers" && took != 700*time.Millisecond:
					t.Errorf("it was picked after %v", took)
				}
			})
		})
	}
}

// TestWaitersAreBounded: a call above the bound fails at once. All others are woken by the instance
// that comes, or end with their contexts.
func TestWaitersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.lan.lists()
		w.db.lists()
		w.after(10 * time.Second)
		p := w.Resolve("auth")
		gone, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var mu sync.Mutex
		found, left := 0, 0
		for i := range maxWaiting {
			ctx := t.Context()
			if i == 0 {
				ctx = gone
			}
			wg.Go(func() {
				_, err := p.Pick(ctx, &rpc.Call{Wait: true})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					found++
				} else if errors.Is(err, context.Canceled) {
					left++
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		_, err := p.Pick(t.Context(), &rpc.Call{Wait: true})
		if !errors.Is(err, rpc.ErrNoInstance) || !strings.Contains(err.Error(), "1000 calls wait") ||
			time.Since(begin) != 0 {
			t.Errorf("one too many, after %v: %v", time.Since(begin), err)
		}
		leave()
		synctest.Wait()
		w.db.lists(1)
		wg.Wait()
		if found != maxWaiting-1 || left != 1 {
			t.Errorf("%d have found it and %d left, want %d and 1", found, left, maxWaiting-1)
		}
	})
}
