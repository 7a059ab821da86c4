package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// mutant switches off one rule of the protocol.
type mutant struct {
	guard bool // callees execute every call
	fetch bool // a process that lacks rules uses its own newest ones
}

// releaseRun is a release of auth and proc over real connections, under load.
type releaseRun struct {
	*site
	rng     *rand.Rand
	mutant  mutant
	roots   []*process
	all     []*process
	traces  atomic.Int64
	failed  atomic.Int64
	failure atomic.Pointer[error]
}

func newReleaseRun(t *testing.T, seed uint64, m mutant) *releaseRun {
	r := &releaseRun{site: portalSite(t), rng: rand.New(rand.NewPCG(seed, 1)), mutant: m}
	r.prepare = r.damage
	r.commit(v1, nil)
	for _, service := range []string{"auth", "auth", "proc", "proc"} {
		r.add(service, "v1")
	}
	r.add("db", "d1")
	r.add("audit", "a1")
	for i := range 3 {
		p := r.caller(fmt.Sprint("root-", i))
		r.roots, r.all = append(r.roots, p), append(r.all, p)
		r.damage(p)
	}
	return r
}

func (r *releaseRun) add(service, version string) *process {
	p := r.start(service, version)
	r.all = append(r.all, p)
	return p
}

// damage makes a process a mutant.
func (r *releaseRun) damage(p *process) {
	if r.mutant.fetch {
		honest := p.client.route
		p.client.route = func(service string, t rollout.Token) (string, rollout.Strategy, bool, error) {
			if newest := p.agent.Log().Last(); newest.Before(t.Generation) {
				t = p.agent.Log().Token(t.Seed, t.Mark)
			}
			return honest(service, t)
		}
	}
	if p.server == nil || r.mutant == (mutant{}) {
		return
	}
	served := p.server.routes.load().byName[p.service]
	doors := []*admission{served.anyAdmission}
	for _, m := range served.methods {
		doors = append(doors, m.admission)
	}
	for _, d := range doors {
		honest := d.admit
		d.admit = func(t rollout.Token) error {
			if r.mutant.guard {
				return nil
			}
			if err := honest(t); !errors.Is(err, rollout.ErrStale) {
				return err
			}
			return nil
		}
	}
}

// load makes requests until ctx ends.
func (r *releaseRun) load(ctx context.Context, wg *sync.WaitGroup) {
	for i, root := range r.roots {
		for k := range 3 {
			seeds := rand.New(rand.NewPCG(uint64(i), uint64(k)))
			wg.Go(func() {
				for ctx.Err() == nil {
					r.request(root, seeds.Uint64())
				}
			})
		}
	}
}

func (r *releaseRun) request(root *process, seed uint64) {
	ctx, end := root.begin(context.Background(), seed)
	defer end()
	r.traces.Add(1)
	err := errors.Join(
		together(func() error { return root.call(ctx, "auth") }, func() error { return root.call(ctx, "proc") }),
		root.call(ctx, "proc"),
		root.stub("audit").Note(ctx, "done"))
	if err != nil {
		r.failed.Add(1)
		r.failure.CompareAndSwap(nil, &err)
	}
}

// step commits a step of the release. Processes learn it by calls, or at the end of the pause.
func (r *releaseRun) step(rules map[string]rollout.Rule, retire ...rollout.Retirement) {
	first := r.roots
	if r.rng.IntN(2) == 0 {
		first = nil
		for _, p := range r.all {
			if r.rng.IntN(3) == 0 {
				first = append(first, p)
			}
		}
	}
	r.commit(rules, retire, first...)
	before := r.traces.Load()
	within(20*time.Second, func() bool { return r.traces.Load() >= before+12 }) // a busy machine needs long
	r.tell(r.all...)
}

// play runs the release to its end, and back again when back is set.
func (r *releaseRun) play(back bool) {
	ctx, stop := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	r.load(ctx, &wg)
	defer wg.Wait()
	defer stop()
	rel := rollout.Release{Name: "r", Mark: "preview", State: rollout.Prepared}
	for _, service := range []string{"auth", "proc"} {
		next, rules, err := rel.Ship(r.rules, rollout.Module{Service: service, New: "v2"})
		r.must(err)
		rel = next
		r.step(rules)
		r.add(service, "v2")
		r.mislabel(r.add(service, "v2"))
	}
	for _, share := range []int{3000, rollout.Whole} {
		next, rules, err := rel.Commit(r.rules, share, r.rules.Next("", nil).Generation)
		r.must(err)
		rel = next
		r.step(rules)
	}
	if back {
		next, rules, err := rel.Rollback(r.rules, r.rules.Next("", nil).Generation)
		r.must(err)
		rel = next
		r.step(rules)
	}
	rel, err := rel.Clean()
	r.must(err)
	r.drain(rel)
	rel, retire, err := rel.Retire()
	r.must(err)
	r.step(nil, retire...)
	r.stop(rel)
}

// mislabel also lists an instance of v2 as v1, like a list from before another version was started
// at the same address. Callers detect that on a new connection, so mutants do not send the version
// that they mean.
func (r *releaseRun) mislabel(p *process) {
	if r.mutant.guard {
		r.mu.Lock()
		defer r.mu.Unlock()
		key := p.service + "/v1"
		r.blind[key] = append(r.blind[key], &Endpoint{ID: p.name + "-before", Service: p.service, Addr: p.ep.Addr})
		return
	}
	r.list(&Endpoint{ID: p.name + "-before", Service: p.service, Version: "v1", Addr: p.ep.Addr})
}

func (r *releaseRun) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// drain asks all processes in rounds until none can need the old version.
func (r *releaseRun) drain(rel rollout.Release) {
	var members []string
	var drains []*rollout.Drain
	for _, m := range rel.Modules {
		drains = append(drains, &rollout.Drain{Service: m.Service, Old: rel.Outgoing(m), Since: rel.Since})
	}
	for _, p := range r.all {
		members = append(members, p.name)
	}
	round := uint64(0)
	drained := within(60*time.Second, func() bool {
		round++
		over := true
		for _, d := range drains {
			d.Open(round, members)
		}
		for _, p := range r.all {
			report := p.agent.Report(rollout.Question{Round: round, Until: rel.Since})
			for _, d := range drains {
				d.Add(report)
			}
		}
		for _, d := range drains {
			over = d.Close() && over
		}
		return over
	})
	if !drained {
		r.t.Fatalf("never drained: %v", drains[0].Blockers())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range drains {
		r.history.Events = append(
			r.history.Events,
			rollouttest.Event{
				When:    time.Now(),
				Kind:    rollouttest.EventDrained,
				Service: d.Service,
				Version: d.Old,
				Since:   rel.Since,
			},
		)
	}
}

// stop ends the old version.
func (r *releaseRun) stop(rel rollout.Release) {
	for _, m := range rel.Modules {
		for _, p := range r.all {
			if p.service == m.Service && p.version == rel.Outgoing(m) {
				r.unlist(func(e *Endpoint) bool { return e.Addr == p.ep.Addr })
				if running := p.agent.Report(rollout.Question{}).Running; len(running) > 0 {
					r.t.Errorf("%s still runs %v", p.name, running)
				}
				r.must(p.server.Drain(r.t.Context()))
				p.stop()
			}
		}
		r.mu.Lock()
		r.history.Events = append(
			r.history.Events,
			rollouttest.Event{
				When:    time.Now(),
				Kind:    rollouttest.EventStopped,
				Service: m.Service,
				Version: rel.Outgoing(m),
			},
		)
		r.mu.Unlock()
	}
}

func TestReleasesUnderLoad(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := newReleaseRun(t, seed, mutant{})
			r.play(seed%2 == 1)
			r.check()
			if n := r.failed.Load(); n > 0 {
				t.Errorf("%d of %d requests failed, the first: %v", n, r.traces.Load(), *r.failure.Load())
			}
			t.Logf("%d traces; auth %v, proc %v", r.traces.Load(), r.versions("auth"), r.versions("proc"))
		})
	}
}

func TestReleasesCatchMutants(t *testing.T) {
	for name, m := range map[string]mutant{
		"the callee does not check":             {guard: true},
		"a stale process goes by its own rules": {fetch: true},
		"neither check nor fetch":               {guard: true, fetch: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				r := newReleaseRun(t, seed, m)
				r.play(false)
				if found := r.findings(); len(found) > 0 {
					t.Logf("seed %d: %d findings, the first: %s", seed, len(found), found[0])
					return
				}
			}
			t.Fatal("30 releases without a finding: the test does not see this rule")
		})
	}
}
