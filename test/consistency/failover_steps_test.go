//go:build linux

package consistency

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// TestFailOverInEveryStep: in each step of a release of two services, the primary changes while the
// operator's command runs, by hand or because its host dies. The host returns before the next step.
// Every step is done once in the end. No committed step is lost, no call fails, and no request
// meets two versions.
func TestFailOverInEveryStep(t *testing.T) {
	t.Parallel()
	for _, c := range changes[:2] {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := onPatroni(t, 4, true)
			f.through(c, 0, "", "start", "--by", "ann", "--reason", "a test")
			f.serve(2, "auth-2", "auth", "v2")
			f.serve(3, "proc-2", "proc", "v2")
			f.through(c, 1, "", "ship", "auth", "--version", "v2")
			f.ship("proc", "v2")
			f.did()
			f.through(c, 1, "30%", "commit", "--ramp", "30,100", "--every", "5s")
			f.through(c, 1, "draining", "clean")
			v := f.judge(1000)
			f.holds(f.primary())
			last := v.history.Entries[len(v.history.Entries)-1]
			if last.Generation.Timeline != 0 || last.Session.State != rollout.Stopped {
				t.Errorf("the log ends with generation %v, %s", last.Generation, last.Session.State)
			}
			t.Logf("auth %s, proc %s", v.versions("auth"), v.versions("proc"))
		})
	}
}

// through gives a step to an operator, changes the primary after a phrase of the command or at a
// random moment, and repeats the step until it is done. It adds at least so many entries.
func (f *failover) through(c change, least int, phrase string, step ...string) {
	f.t.Helper()
	before := len(f.log())
	o := f.operator(0, step...)
	if phrase != "" {
		o.hears(phrase)
	} else {
		pause(f.t.Context(), time.Duration(f.chance().Int64N(int64(1500*time.Millisecond))))
	}
	cut := o.over()
	primary, took, back := c.make(f)
	f.holds(primary)
	said, err := o.done()
	f.connected(primary)
	tries := 1
	for ; err != nil; tries++ {
		if tries == 20 {
			f.t.Fatalf("%v does not succeed: %s", step, said)
		}
		f.t.Logf("%v while the primary changed: %s", step, strings.TrimSpace(said))
		pause(f.t.Context(), time.Second)
		if step[0] == "start" && f.opened(before) || step[0] == "ship" && len(f.log()) > before {
			break // it was done before, and its answer was lost
		}
		said, err = f.operator(0, step...).done()
	}
	entries := f.log()
	if len(entries) < before+least {
		f.t.Errorf("%v has added %d entries, want %d at least", step, len(entries)-before, least)
	}
	f.did()
	f.t.Logf("%s: a new primary after %.1f s (the command had ended before: %v); done after %d tries",
		step[0], took.Seconds(), cut, tries)
	back()
	f.db.AwaitWhole(f.t)
}

// opened reports whether a release was opened after some entries.
func (f *failover) opened(before int) bool {
	f.t.Helper()
	return slices.ContainsFunc(f.log()[before:], func(e rollout.Entry) bool {
		return strings.HasPrefix(e.Step, "start")
	})
}

// chance is a random source by a seed, which the test prints.
func (f *failover) chance() *rand.Rand {
	if f.draw == nil {
		seed, err := strconv.ParseUint(os.Getenv("SKERRY_SEED"), 10, 64)
		if err != nil {
			seed = rand.Uint64N(1000)
		}
		f.t.Logf("SKERRY_SEED=%d", seed)
		f.draw = rand.New(rand.NewPCG(seed, 0))
	}
	return f.draw
}

// TestFailOverLosesSteps: without a synchronous standby the primary commits a step that no standby
// has, and its host dies. The processes have applied that step. Every command reports that the
// database lacks it, and does nothing, until an operator adopts it. The old primary returns and
// restores nothing. No call fails meanwhile, and no request meets two versions.
func TestFailOverLosesSteps(t *testing.T) {
	t.Parallel()
	f := onPatroni(t, 4, false)
	f.open("ann")
	f.serve(2, "auth-2", "auth", "v2")
	f.serve(3, "proc-2", "proc", "v2")
	f.ship("auth", "v2")
	f.ship("proc", "v2")
	f.db.AwaitWhole(t)
	old := f.primary()
	f.alone(old)
	f.release("commit")
	f.did()
	committed := len(f.stored(old))
	f.await("auth v2 is called", func() bool { return f.book.count(began, met("auth", "v2")) > 20 })

	f.host(old).Cut()
	f.db.Kill(t, old)
	primary, took := f.db.AwaitPrimary(t, old)
	t.Logf("a new primary after %.1f s, all sessions %.1f s later", took.Seconds(), f.connected(primary).Seconds())
	if n := len(f.stored(primary)); n != committed-1 {
		t.Fatalf("the new primary has %d steps of %d: the scene proves nothing", n, committed)
	}
	f.serve(2, "auth-2b", "auth", "v2") // begins with the database's log
	for _, step := range []string{"commit", "rollback", "clean"} {
		if said, err := f.operator(0, step).done(); err == nil || !strings.Contains(said, "adopt") {
			t.Errorf("%s of a log that has lost a step: %v\n%s", step, err, said)
		}
	}
	status, err := f.operator(0, "status").done()
	if err == nil || !strings.Contains(status, "FROZEN") || !strings.Contains(status, "adopt") {
		t.Errorf("status of a log that has lost a step: %v\n%s", err, status)
	}
	f.more(100)
	f.await("the processes say so", func() bool {
		return f.logged("auth-2", "has lost steps") && f.logged("job", "has lost steps")
	})
	f.release("adopt", "--by", "bob")
	f.holds(primary)
	f.host(old).Heal()
	f.db.Return(t, old)
	f.db.AwaitWhole(t)
	f.release("clean")
	v := f.judge(1000)
	f.holds(f.primary())
	if last := v.history.Entries[len(v.history.Entries)-1].Generation; last.Timeline != 1 {
		t.Errorf("the log ends with generation %v, want timeline 1", last)
	}
}

// logged reports whether a process has logged a text.
func (f *failover) logged(name, text string) bool {
	f.t.Helper()
	for _, p := range f.members {
		if p.Name == name {
			all, err := os.ReadFile(p.log)
			must(f.t, err)
			return strings.Contains(string(all), text)
		}
	}
	return false
}

// alone keeps the writes of a node from the others. etcd and the processes of the site are not
// affected.
func (f *failover) alone(node int) {
	f.t.Helper()
	rules := "add table netdev alone; add chain netdev alone in { type filter hook ingress device eth0 priority " +
		"1; }; " +
		"add rule netdev alone in ip saddr " + f.host(node).IP(0) + " tcp sport 5432 drop"
	for i := range f.db.Nodes {
		if i != node {
			f.host(i).Run("nft", rules)
		}
	}
}
