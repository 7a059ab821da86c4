package discovery

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// governed is a world whose rules for auth are those of a policy that the test changes.
type governed struct {
	*world
	opts atomic.Pointer[Options]
}

func newGoverned(t *testing.T, edit func(*Config)) *governed {
	g := &governed{}
	g.opts.Store(&Options{})
	g.world = newWorld(t, func(c *Config) {
		if edit != nil {
			edit(c)
		}
		c.Options = func(string) Options { return *g.opts.Load() }
	})
	return g
}

// obey puts options in force, with the items of a policy.
func (g *governed) obey(o Options, items ...policy.Item) {
	p := &policy.Policy{Services: map[string]*policy.Service{"auth": {Items: items}}}
	o.Policy = policy.Compile(p, nil, 0).Rules("auth", "")
	g.opts.Store(&o)
	g.Reload()
	synctest.Wait()
}

// halls are instances in turn in hall-1 and hall-2, on a host each, of one version or several.
func halls(n int, versions ...string) (out []registry.Instance) {
	for i := range n {
		in := instance(i)
		in.Zone, in.Owner.Host = fmt.Sprint("hall-", 1+i%2), fmt.Sprint("h", i)
		if len(versions) > 0 {
			in.Version = versions[i/2%len(versions)]
		}
		out = append(out, in)
	}
	return out
}

// TestPolicyWeights: the policy's weight stands in the place of the registered one, 0 keeps calls away, and the end of
// the policy brings the registered one back. Every balancer does so.
func TestPolicyWeights(t *testing.T) {
	for _, balancer := range balancers() {
		synctest.Test(t, func(t *testing.T) {
			w := newGoverned(t, nil)
			defer w.stop()
			w.obey(Options{Balancer: balancer})
			w.db.say(registry.Snapshot{Service: "auth", Instances: halls(4)})
			synctest.Wait()
			share := func() (n [4]int) {
				for i := range 4000 {
					e, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{Attempt: 1, HashKey: fmt.Sprint(i)})
					if err != nil {
						t.Fatal(err)
					}
					for k := range n {
						if e.Addr == instance(k).Addr() {
							n[k]++
						}
					}
				}
				return n
			}
			w.obey(Options{Balancer: balancer},
				policy.Item{Kind: "weights", To: policy.Target{Host: []string{"h3"}}, Weight: 20},
				policy.Item{Kind: "weights", To: policy.Target{Host: []string{"h1"}}, Weight: 0})
			if n := share(); n[1] != 0 || n[3] < n[0]/10 || n[3] > n[0]/3 {
				t.Errorf("%s: shares %v, want h1 none and h3 a fifth of h0", balancer, n)
			}
			w.expectEntry(1, Excluded, "the site's policy gives it the weight 0")
			for _, e := range w.Explain("auth") {
				if e.Own != registry.DefaultWeight || (e.Weight == 0) != (e.State == Excluded) {
					t.Errorf("%s has the weight %d and its own %d, %s", e.Addr, e.Weight, e.Own, e.State)
				}
			}
			w.obey(Options{Balancer: balancer})
			if n := share(); n[1] < n[0]/2 || n[3] < n[0]/2 {
				t.Errorf("%s: shares %v after the policy", balancer, n)
			}
		})
	}
}

// TestPolicyBalancer: another balancer and zone_first hold from the next call on, both ways, and no member loses its
// state by it.
func TestPolicyBalancer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGoverned(t, func(c *Config) { c.Zone = "hall-1" })
		defer w.stop()
		w.db.say(registry.Snapshot{Service: "auth", Instances: halls(4)})
		w.kill(errRefused, 3)
		w.Down(w.endpoint(3), false, errRefused)
		w.expect("without a policy", 0, 1, 2)
		w.obey(Options{ZoneFirst: true})
		w.expect("zone first", 0, 2)
		w.obey(Options{Balancer: balanceHash})
		met := map[string]bool{}
		for range 50 {
			e, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{Attempt: 1, HashKey: "alice"})
			if err != nil {
				t.Fatal(err)
			}
			met[e.Addr] = true
		}
		if len(met) != 1 {
			t.Errorf("hash: one key met %d instances", len(met))
		}
		w.obey(Options{})
		w.expect("after the policy", 0, 1, 2)
		w.expectEntry(3, Suspect, "")
	})
}

// TestPolicyRoute: a route holds among the instances of the call's version, with every balancer. With else: all the
// others are called when no instance there is well, with else: none the call fails.
func TestPolicyRoute(t *testing.T) {
	for _, balancer := range balancers() {
		synctest.Test(t, func(t *testing.T) {
			w := newGoverned(t, nil)
			defer w.stop()
			w.obey(Options{Balancer: balancer})
			w.db.say(registry.Snapshot{Service: "auth", Instances: halls(8, "v1", "v2")})
			synctest.Wait()
			zone := func(name, otherwise string) *policy.Item {
				return &policy.Item{Kind: "route", Key: "route[0]",
					To: policy.Target{Zone: []string{name}}, Else: otherwise}
			}
			picks := func(version string, route *policy.Item) map[int]bool {
				met := map[int]bool{}
				for i := range 400 {
					call := &rpc.Call{Attempt: 1, Version: version, Route: route, HashKey: fmt.Sprint(i)}
					e, err := w.Resolve("auth").Pick(t.Context(), call)
					if err != nil {
						t.Fatalf("%s: %v", balancer, err)
					}
					for n := range 8 {
						if e.Addr == instance(n).Addr() {
							met[n] = true
						}
					}
				}
				return met
			}
			want := func(what string, met map[int]bool, ns ...int) {
				t.Helper()
				if len(met) != len(ns) {
					t.Errorf("%s, %s: calls go to %v, want %v", balancer, what, met, ns)
				}
				for _, n := range ns {
					if !met[n] {
						t.Errorf("%s, %s: calls go to %v, want %v", balancer, what, met, ns)
					}
				}
			}
			want("one version", picks("v1", zone("hall-2", "none")), 1, 5)
			want("any version", picks("", zone("hall-2", "none")), 1, 3, 5, 7)
			want("nowhere, else all", picks("v2", zone("hall-9", "all")), 2, 3, 6, 7)
			_, err := w.Resolve("auth").Pick(t.Context(),
				&rpc.Call{Attempt: 1, Version: "v2", Route: zone("hall-9", "none")})
			if !errors.Is(err, rpc.ErrNoInstance) || !strings.Contains(err.Error(), "route[0]") {
				t.Errorf("%s: nowhere, else none: %v", balancer, err)
			}
			w.kill(errRefused, 1, 5)
			w.Down(w.endpoint(1), false, errRefused)
			w.Down(w.endpoint(5), false, errRefused)
			synctest.Wait()
			want("suspects, else all", picks("v1", zone("hall-2", "all")), 0, 4)
			want("suspects, else none", picks("v1", zone("hall-2", "none")), 1, 5)
		})
	}
}

// TestPolicyOutlier: the policy says how many failed dials eject, for how long, and how many members at a time.
func TestPolicyOutlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGoverned(t, nil)
		defer w.stop()
		w.db.say(registry.Snapshot{Service: "auth", Instances: halls(4)})
		w.kill(errRefused, 0, 1, 2)
		w.obey(Options{Failures: 2, Eject: time.Hour, MaxEjected: 50})
		for n := range 3 {
			w.Down(w.endpoint(n), true, errRefused)
			w.expectEntry(n, Suspect, "")
			w.Down(w.endpoint(n), true, errRefused)
		}
		w.expectEntry(0, Ejected, "2 connections in a row")
		w.expectEntry(1, Ejected, "2 connections in a row")
		w.expectEntry(2, Suspect, "")
		w.after(10*time.Minute).expectEntry(0, Ejected, "")
		w.obey(Options{})
		w.Down(w.endpoint(2), true, errRefused)
		w.expectEntry(2, Ejected, "3 connections in a row")
	})
}
