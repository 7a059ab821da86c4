package skerry

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/skerry/skerry/rollout"
)

func TestSlots(t *testing.T) {
	dir := t.TempDir()
	var held []slot // or the collector closes their files
	defer func() {
		for _, s := range held {
			s.free()
		}
	}()
	take := func(want string) slot {
		t.Helper()
		s, err := takeSlot(dir, "auth")
		if err != nil || filepath.Base(s.base) != want {
			t.Fatalf("got %s, %v; want %s", s.base, err, want)
		}
		held = append(held, s)
		return s
	}
	first, second := take("auth"), take("auth.2")
	take("auth.3")
	first.free()
	take("auth") // the process that was started again
	second.free()
	take("auth.2")
	for i := 4; i <= maxSlots; i++ {
		take(fmt.Sprintf("auth.%d", i))
	}
	if s, err := takeSlot(dir, "auth"); err == nil {
		t.Errorf("one slot too many: %s", s.base)
	}
	if other, err := takeSlot(dir, "proc"); err != nil || filepath.Base(other.base) != "proc" {
		t.Errorf("of another service: %s, %v", other.base, err)
	}
}

// Where nothing can be locked the files are shared as ever, and err says so.
func TestSlotsWithoutLocks(t *testing.T) {
	s, err := takeSlot(filepath.Join(t.TempDir(), "missing"), "auth")
	if err == nil || filepath.Base(s.base) != "auth" {
		t.Errorf("got %s, %v", s.base, err)
	}
	s.free()
}

// A process of a new slot begins with the rules of its neighbours, not with
// what these have promised; Close gives the slot back.
func TestNeighboursStateIsBorrowed(t *testing.T) {
	site := lanSite(t)
	first := open(t, site)
	entry := rollout.Entry{Cluster: site.Cluster, Generation: rollout.Generation{N: 1}, Rules: map[string]rollout.Rule{"auth": {Version: "v1"}}}
	must(t, "learn", first.Rollout().Learn(proven(t, first, entry)))
	next := first.Rollout().Log().Next("r2", nil)
	proof, err := first.trust.siteSigner().Sign(rollout.ForPromise, rollout.Words(rollout.VerbPromise, next.Hash(), "ann"))
	must(t, "sign", err)
	must(t, "promise", first.Rollout().Promise(next, rollout.Undertaking{Command: "ann", Proof: proof}))
	dir := filepath.Join(site.StateDir, site.Cluster)
	must(t, "lists", os.WriteFile(first.files.lists, []byte(`{"cluster":"test"}`), 0o644))

	second := open(t, site)
	if g := second.Rollout().Log().Last(); g != entry.Generation || second.Rollout().Promised() != nil {
		t.Errorf("the second begins with %v and the promise %v", g, second.Rollout().Promised())
	}
	if _, err := os.Stat(second.files.lists); err != nil || second.files.lists == first.files.lists {
		t.Errorf("lists of the second: %v", err)
	}
	if theirs := first.files.slot.newest(dir, first.fileName(), ".rules.json"); theirs != first.files.rules {
		t.Errorf("the newest rules are in %s", theirs)
	}
	must(t, "close", first.Close())
	third := open(t, site)
	if third.files.rules != first.files.rules || third.Rollout().Promised() == nil {
		t.Errorf("the third has %s with the promise %v", third.files.rules, third.Rollout().Promised())
	}
}
