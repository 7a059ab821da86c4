package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// plant is a site of three processes. The first runs pump v1, which owns a
// device; the third may run pump v2.
type plant struct {
	*world
	*Controller
	t     *testing.T
	ctx   context.Context   // context of the processes
	stop  map[string]func() // stops a run, by process/version
	owner string            // version that holds the device
	heard []string

	stubborn bool // no process obeys
}

func newPlant(ctx context.Context, t *testing.T, m rollout.Module) *plant {
	p := &plant{ctx: ctx, world: newWorld(3), t: t, stop: map[string]func(){}}
	p.Controller = New(Config{Site: p.world, Store: ballot(p.world), By: "ann", Progress: p.hear})
	p.ready(0, "v1")
	must(t, "start", p.Start(t.Context(), "spring", "why", ""))
	m.Service, m.Old, m.New = "pump", "v1", "v2"
	must(t, "ship", p.Ship(t.Context(), m))
	return p
}

func (p *plant) hear(x Progress) {
	line := strings.TrimSpace(fmt.Sprint(x.Step, " ", x.Version))
	if !slices.Contains(p.heard, line) {
		p.heard = append(p.heard, line)
	}
}

// begin starts a version in a process. It waits for its turn, opens the device,
// and is listed until the process is asked to leave.
func (p *plant) begin(i int, version string) {
	proc := p.proc(i)
	go func() {
		done, err := proc.AwaitTurn(p.ctx, "pump", version, func(error) {})
		if err != nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.owner != "" {
			p.t.Errorf("%s opens the device, and %s has it", version, p.owner)
		}
		p.owner = version
		p.instances = append(p.instances, Instance{Process: proc.Process(), Service: "pump", Version: version})
		p.stop[proc.Process()+"/"+version] = func() { p.owner = ""; done() }
	}()
}

// ready is begin. It returns when the process runs or waits for its turn.
func (p *plant) ready(i int, version string) {
	p.begin(i, version)
	synctest.Wait()
}

// obey makes processes leave some time after they were asked to.
func (p *plant) obey(ctx context.Context) {
	for run.Sleep(ctx, 700*time.Millisecond) == nil {
		p.mu.Lock()
		members := p.members
		p.mu.Unlock()
		for _, m := range members {
			proc := m.Peer.(*proc)
			p.mu.Lock()
			for _, what := range proc.departed {
				key := proc.Process() + "/" + strings.TrimPrefix(what, "pump ")
				if stop := p.stop[key]; stop != nil && !p.stubborn {
					delete(p.stop, key)
					stop()
				}
			}
			proc.departed = nil
			p.mu.Unlock()
		}
	}
}

// play runs a test in virtual time, with processes that obey.
func play(t *testing.T, m rollout.Module, f func(context.Context, *plant)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPlant(ctx, t, m)
		go p.obey(ctx)
		f(ctx, p)
		cancel()
		synctest.Wait()
	})
}

// has returns the version that holds the device.
func (p *plant) has() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owner
}

// end stops a run, in any state.
func (p *plant) end(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop[key]()
}

func (p *plant) turn() string {
	log, _, err := p.Log(p.t.Context())
	must(p.t, "read the log", err)
	rule, _ := log.Rule("pump")
	return rule.Turn
}

func TestBlockingChangesOver(t *testing.T) {
	play(t, rollout.Module{Strategy: rollout.Blocking}, func(ctx context.Context, p *plant) {
		p.ready(2, "v2") // before its turn: it waits
		p.proc(1).MayCall("pump")
		old := p.proc(1).Begin("job", 1, "")
		time.AfterFunc(3*time.Second, old.End)
		must(t, "commit", p.Commit(ctx, rollout.Whole))
		if p.has() != "v2" || p.turn() != "v2" {
			t.Errorf("%q has the device, %q the turn", p.has(), p.turn())
		}
		if want := []string{"drain", "leave v1"}; !slices.Equal(p.heard[:2], want) {
			t.Errorf("heard %q, want %q first", p.heard, want)
		}
		must(t, "clean", p.Clean(ctx))
	})
}

// The operator's command ends at every point of a change. Another command
// continues it, or turns back, and turns back again.
func TestAChangeGoesOnAnywhere(t *testing.T) {
	for limit := range 16 {
		for _, back := range []bool{false, true} {
			play(t, rollout.Module{Strategy: rollout.Blocking}, func(ctx context.Context, p *plant) {
				p.ready(2, "v2")
				short, cancel := context.WithTimeout(ctx, time.Duration(limit)*150*time.Millisecond+time.Millisecond)
				defer cancel()
				err := p.Commit(short, rollout.Whole)
				other := New(Config{Site: p.world, Store: p.cfg.Store, By: "bob"})
				want := "v2"
				log, _, logErr := other.Log(ctx)
				must(t, "read the log", logErr)
				switch r, _ := log.Session(); {
				case back:
					want = "v1"
					time.AfterFunc(4*time.Second, func() { p.begin(1, "v1") }) // the operator restarts it
					must(t, "rollback", other.Rollback(ctx))
				case err != nil && (r.State == rollout.Prepared || len(r.ChangingOver(log)) > 0):
					must(t, "go on", other.Commit(ctx, rollout.Whole))
				}
				if p.turn() != want || p.has() != want {
					t.Errorf("after %d: %q has the device, %q the turn, want %s", limit, p.has(), p.turn(), want)
				}
				must(t, "clean", other.Clean(ctx))
			})
		}
	}
}

// A process that had the turn and falls silent blocks the change for every
// operator, until its death is certified or vouched for.
func TestASilentOwnerHoldsTheTurn(t *testing.T) {
	for name, end := range map[string]func(*plant, *Controller){
		"a certificate": func(p *plant, _ *Controller) { p.ended["host/1/e"] = true },
		"the operator's word": func(_ *plant, c *Controller) {
			c.cfg.Without = []string{"host/1"}
			c.cfg.Store.(*Ballot).Without = c.cfg.Without
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, rollout.Module{Strategy: rollout.Blocking}, func(ctx context.Context, p *plant) {
				p.ready(2, "v2")
				p.stubborn = true
				time.AfterFunc(time.Second, func() { p.proc(0).silent.Store(true) }) // while its stop is due
				short, cancel := context.WithTimeout(ctx, 20*time.Second)
				defer cancel()
				if err := p.Commit(short, rollout.Whole); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("commit without an answer of the owner: %v", err)
				}
				if p.has() == "v2" || p.turn() == "v2" {
					t.Fatal("v2 runs beside v1")
				}
				p.mu.Lock()
				p.world.members = slices.Clone(p.world.members[1:]) // it left the list, and may be alive
				p.mu.Unlock()
				other := New(Config{Site: p.world, Store: ballot(p.world), By: "bob"})
				short, cancel = context.WithTimeout(ctx, 20*time.Second)
				defer cancel()
				if err := other.Commit(short, rollout.Whole); err == nil {
					t.Error("another operator has not heard of the owner")
				}
				end(p, other)
				p.end("host/1/e/v1")
				must(t, "go on", other.Commit(ctx, rollout.Whole))
			})
		})
	}
}

func TestWaitingLooksForAMoment(t *testing.T) {
	for _, c := range []struct {
		busy, patience, want time.Duration
		giveUp               bool
		err                  error
	}{
		{0, 30 * time.Second, 0, false, nil},
		{5 * time.Second, 30 * time.Second, 5 * time.Second, false, nil},
		{time.Minute, 30 * time.Second, 30 * time.Second, false, nil},
		{time.Minute, 30 * time.Second, 30 * time.Second, true, ErrNoMoment},
	} {
		m := rollout.Module{Strategy: rollout.Waiting, Patience: c.patience, GiveUp: c.giveUp}
		play(t, m, func(ctx context.Context, p *plant) {
			p.ready(2, "v2")
			p.proc(1).MayCall("pump")
			work := p.proc(1).Begin("job", 1, "")
			time.AfterFunc(c.busy, work.End)
			begun := time.Now()
			var committed atomic.Int64
			committed.Store(-1)
			go func() {
				for committed.Load() < 0 && run.Sleep(ctx, 10*time.Millisecond) == nil {
					if r := p.Status(ctx).Session; r != nil && r.State == rollout.Switched { // nil: after the test
						committed.Store(int64(time.Since(begun)))
					}
				}
			}()
			if err := p.Commit(ctx, rollout.Whole); !errors.Is(err, c.err) {
				t.Errorf("%+v: %v", c, err)
			}
			if c.err != nil {
				if r := p.Status(ctx).Session; r.State != rollout.Prepared || p.has() != "v1" {
					t.Errorf("%+v: the release is %s, %s has the device", c, r.State, p.has())
				}
				return
			}
			took := time.Duration(committed.Load())
			if late := took - c.want; late < 0 || late > time.Second {
				t.Errorf("%+v: committed after %v", c, took)
			}
		})
	}
}

// One module changes over while another runs side by side. Both switch at one
// generation, and a ramp is refused.
func TestAMixedRelease(t *testing.T) {
	play(t, rollout.Module{Strategy: rollout.Blocking}, func(ctx context.Context, p *plant) {
		for i, v := range []string{"v1", "v2"} {
			p.instances = append(p.instances, Instance{Process: p.proc(i).Process(), Service: "proc", Version: v})
		}
		must(t, "ship proc", p.Ship(ctx, rollout.Module{Service: "proc", Old: "v1", New: "v2"}))
		if err := p.Commit(ctx, 1000); err == nil || !strings.Contains(err.Error(), "pump may not run at once") {
			t.Errorf("a share of a blocking release: %v", err)
		}
		p.ready(2, "v2")
		must(t, "commit", p.Commit(ctx, rollout.Whole))
		log, _, err := p.Log(ctx)
		must(t, "read the log", err)
		r, _ := log.Session()
		for n := range log.Last().N + 1 {
			token := log.TokenAt(rollout.Generation{N: n}, 0, "")
			pump, _, _ := log.Resolve("pump", token)
			if proc, _, _ := log.Resolve("proc", token); proc != pump {
				t.Errorf("a trace of generation %d meets proc %s and pump %s", n, proc, pump)
			}
			if by, want := token.Generation.Before(r.Since), pump == "v1"; by != want {
				t.Errorf("generation %d meets pump %s; the switch was %v", n, pump, r.Since)
			}
		}
	})
}
