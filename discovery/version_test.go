package discovery

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// versions are n instances of each version in turn.
func versions(n int, names ...string) (out []registry.Instance) {
	for i := range n * len(names) {
		in := instance(i)
		in.Version = names[i%len(names)]
		out = append(out, in)
	}
	return out
}

// A call that names a version meets that version, with every balancer, and uses all of its
// instances.
func TestOnlyTheVersionAskedFor(t *testing.T) {
	for _, balancer := range balancers() {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Options = always(Options{Balancer: balancer}) })
			defer w.stop()
			p := w.Resolve("auth")
			w.db.say(registry.Snapshot{Service: "auth", Instances: versions(4, "v1", "v2")})
			synctest.Wait()
			met := map[*rpc.Endpoint]bool{}
			for i := range 2000 {
				want := []string{"v1", "v2"}[i%2]
				e, err := p.Pick(t.Context(), &rpc.Call{Version: want, HashKey: time.Duration(i).String()})
				if err != nil || e.Version != want {
					t.Fatalf("%s: asked for %s, got %v, %v", balancer, want, e, err)
				}
				met[e] = true
			}
			if len(met) != 8 {
				t.Errorf("%s: %d of 8 instances were met", balancer, len(met))
			}
			_, err := p.Pick(t.Context(), &rpc.Call{Version: "v3"})
			if !errors.Is(err, rpc.ErrNoInstance) {
				t.Errorf("%s: a version that nobody has: %v", balancer, err)
			}
			t.Log(err)
		})
	}
}

// A call that waits for a version gets its first instance, or an error at its deadline.
func TestWaitingForAVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		p := w.Resolve("auth")
		w.db.say(registry.Snapshot{Service: "auth", Instances: versions(2, "v1")})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(5*time.Second, func() {
			w.db.say(registry.Snapshot{Service: "auth", Instances: versions(2, "v1", "v2")})
		})
		begin := time.Now()
		e, err := p.Pick(ctx, &rpc.Call{Version: "v2", Wait: true})
		if err != nil || e.Version != "v2" || time.Since(begin) > 6*time.Second {
			t.Errorf("after %v: %v, %v", time.Since(begin), e, err)
		}
		if _, err = p.Pick(ctx, &rpc.Call{Version: "v3", Wait: true}); !errors.Is(err, rpc.ErrNoInstance) ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody came: %v", err)
		}
	})
}

func TestPickOfAVersionDoesNotAllocate(t *testing.T) {
	for _, balancer := range balancers() {
		var byTier [tiers][]candidate
		ms := membersOf(0, 100)
		for i, m := range ms {
			m.ep.Version = []string{"v1", "v2"}[i%2]
			byTier[tierWell] = append(byTier[tierWell], candidate{ep: m.ep, weight: 1 + i})
			m.tier.Store(tierWell)
		}
		v := newView(Options{Balancer: balancer}, &byTier, ringOf(ms))
		v.split(Options{Balancer: balancer}, &byTier, ringOf(ms), new(turns))
		call := &rpc.Call{HashKey: "user-7", Version: "v2"}
		var turn atomic.Uint64
		if n := testing.AllocsPerRun(1000, func() { v.pick(call, &turn) }); n != 0 {
			t.Errorf("%s: a pick allocates %v times", balancer, n)
		}
	}
}

// The last instance of a version is probed before it is dropped, even if others of the service are
// left: no other version may get its calls.
func TestTheLastOfAVersionIsAsked(t *testing.T) {
	for name, dead := range map[string]bool{"alive": false, "dead": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				defer w.stop()
				p := w.Resolve("auth")
				all := versions(1, "v1", "v2", "v2", "v2")
				w.db.say(registry.Snapshot{Service: "auth", Instances: all})
				synctest.Wait()
				if dead {
					w.kill(errCut, 0)
				}
				w.db.say(registry.Snapshot{Service: "auth", Instances: all[1:3]}) // a v2 has also gone
				w.after(10 * time.Second)
				if _, err := p.Pick(t.Context(), &rpc.Call{Version: "v1"}); (err != nil) != dead {
					t.Errorf("a call of v1: %v", err)
				}
				if list := w.Explain("auth"); len(list) != map[bool]int{false: 3, true: 2}[dead] {
					t.Errorf("listed: %+v", list)
				}
			})
		})
	}
}
