package gateway

import (
	"context"
	"fmt"
	"io"

	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc"
)

// arrivals is a picker of instances that are there already, and of one that comes later and goes to
// waiting requests.
type arrivals struct {
	here  []*rpc.Endpoint
	full  bool // the limit of waiting requests is reached
	next  chan *rpc.Endpoint
	picks atomic.Int64
	waits atomic.Int64 // requests that wait now
}

func (a *arrivals) Report(*rpc.Endpoint, health.Outcome, time.Duration) {}

func (a *arrivals) Pick(ctx context.Context, call *rpc.Call) (*rpc.Endpoint, error) {
	a.picks.Add(1)
	for _, e := range a.here {
		if call.TryAgain || !call.Tried(e) {
			return e, nil
		}
	}
	if !call.Wait || a.full {
		return nil, fmt.Errorf("%w: none is here", rpc.ErrNoInstance)
	}
	a.waits.Add(1)
	defer a.waits.Add(-1)
	select {
	case e := <-a.next:
		return e, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: none came: %w", rpc.ErrNoInstance, ctx.Err())
	}
}

// come adds an instance after a while, for one request.
func (a *arrivals) come(after time.Duration) {
	time.AfterFunc(after, func() { a.next <- &rpc.Endpoint{ID: "web/2", Service: "web", Addr: "10.0.0.9:7002"} })
}

// dead returns n instances that refuse connections.
func dead(n int) (all []*rpc.Endpoint) {
	for i := range n {
		all = append(all, &rpc.Endpoint{
			ID: fmt.Sprint("dead/", i), Service: "web", Addr: fmt.Sprint("10.0.1.", i, ":7000"),
		})
	}
	return all
}

// inGap runs a test in a world with a service of dead instances only.
func inGap(t *testing.T, instances int, h http.HandlerFunc, play func(w *world, a *arrivals), changes ...func(*world)) {
	t.Helper()
	var a *arrivals
	change := func(w *world) {
		a = &arrivals{here: dead(instances), next: make(chan *rpc.Endpoint)}
		w.picker = a
		w.dial = func(e *rpc.Endpoint) error {
			if strings.HasPrefix(e.ID, "dead/") {
				return fmt.Errorf("its announcer is gone: %w", rpc.ErrNoInstance) // as a call finds out
			}
			return nil
		}
		for _, f := range changes {
			f(w)
		}
	}
	inWorldOf(t, change, h, func(w *world) { play(w, a) }, func(c *Config) { c.Routes[0].Timeout = 2 * time.Second })
}

// A request waits for the next instance of its service, with any method and body. It waits if there
// was no instance, or if those that it tried are gone. Meanwhile a large body stays unread.
func TestRequestsWaitForTheNextInstance(t *testing.T) {
	const large = 200_000
	for _, instances := range []int{0, 1, 5} {
		for name, head := range map[string]string{
			"GET":          "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
			"a small POST": "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
			"a large POST": fmt.Sprintf("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", large),
		} {
			t.Run(fmt.Sprint(name, " with ", instances, " that are dead"), func(t *testing.T) {
				inGap(t, instances, takeAll, func(w *world, a *arrivals) {
					user := w.connect("10.0.0.1")
					defer user.Close()
					a.come(700 * time.Millisecond)
					begun := time.Now()
					var sent atomic.Int64
					var writing sync.WaitGroup
					writing.Go(func() {
						_, _ = io.WriteString(user, head)
						for name == "a large POST" && sent.Load() < large {
							n, err := user.Write(make([]byte, 1000))
							if sent.Add(int64(n)); err != nil {
								t.Error(err)
								return
							}
						}
					})
					time.Sleep(600 * time.Millisecond)
					if n := sent.Load(); n > 8<<10 {
						t.Errorf("%d bytes of the body were read while the request waited", n)
					}
					if n := a.waits.Load(); n != 1 {
						t.Errorf("%d requests wait", n)
					}
					status, text := answerFrom(user)
					writing.Wait()
					if took := time.Since(begun); status != http.StatusOK || took != 700*time.Millisecond {
						t.Errorf("%d %s after %v", status, text, took)
					}
				})
			})
		}
	}
}

// Without a next instance the answer is 503, after the route's time-out or consumers.NAME.wait. It
// is 503 at once when the limit of waiting requests is reached.
func TestRequestsWaitForALimitedTime(t *testing.T) {
	for _, c := range []struct {
		wait, took time.Duration
		full       bool
	}{
		{0, 2 * time.Second, false},
		{500 * time.Millisecond, 500 * time.Millisecond, false},
		{time.Hour, 2 * time.Second, false},
		{-1, 0, false},
		{0, 0, true},
	} {
		t.Run(fmt.Sprint(c.wait, " ", c.full), func(t *testing.T) {
			inGap(t, 0, sayHello, func(w *world, a *arrivals) {
				a.full = c.full
				user := w.connect("10.0.0.1")
				defer user.Close()
				begun := time.Now()
				fmt.Fprint(user, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
				status, text := answerFrom(user)
				if took := time.Since(begun); status != http.StatusServiceUnavailable || took != c.took ||
					!strings.Contains(text, "not executed") {
					t.Errorf("%d %s after %v, want %v", status, text, took, c.took)
				}
				if n := a.picks.Load(); n > 2 {
					t.Errorf("the picker was asked %d times", n)
				}
			}, func(w *world) { w.options.Wait = c.wait })
		})
	}
}

// A client that gives up while its request waits ends the wait. The request is not sent when an
// instance comes.
func TestClientThatGivesUpEndsTheWait(t *testing.T) {
	var served atomic.Int64
	count := func(w http.ResponseWriter, r *http.Request) { served.Add(1); sayHello(w, r) }
	inGap(t, 1, count, func(w *world, a *arrivals) {
		for _, request := range []string{
			"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		} {
			user := w.connect("10.0.0.1")
			fmt.Fprint(user, request)
			time.Sleep(300 * time.Millisecond)
			synctest.Wait()
			if a.waits.Load() != 1 || w.traces() != 1 {
				t.Errorf("%d requests wait, %d traces stand", a.waits.Load(), w.traces())
			}
			user.Close()
			synctest.Wait()
			if a.waits.Load() != 0 || w.traces() != 0 {
				t.Errorf("after the end of the client %d requests wait, %d traces stand", a.waits.Load(), w.traces())
			}
		}
		user := w.connect("10.0.0.1")
		defer user.Close()
		a.come(100 * time.Millisecond)
		fmt.Fprint(user, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		if status, text := answerFrom(user); status != http.StatusOK || served.Load() != 1 {
			t.Errorf("the one that stays: %d %s; %d were served", status, text, served.Load())
		}
	})
}
