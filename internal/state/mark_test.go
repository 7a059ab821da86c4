package state

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/skerry/skerry/internal/chance"
)

// alike are the marks of two processes that differ in one feature alone.
func alike(i int) (a, b mark) {
	a, b = markOf([]string{"auth v1"}), markOf([]string{"auth v1"})
	b[i] = feature("another", "one")
	return a, b
}

// TestRestartFindsItsSlot: processes that share a name find the slots of their previous runs,
// whichever of them is down and whichever is started first. One feature that differs suffices.
func TestRestartFindsItsSlot(t *testing.T) {
	r := chance.Rand(t, 7)
	features, _ := alike(0)
	for i := range features {
		dir := t.TempDir()
		a, b := alike(i)
		_, c := alike((i + 1) % len(features))
		marks, slots, own := []mark{a, b, c}, make([]slot, 3), make([]string, 3)
		start := func(n int) {
			t.Helper()
			s, err := takeSlot(dir, "auth", marks[n])
			if err != nil {
				t.Fatal(err)
			}
			slots[n] = s
			if base := filepath.Base(s.base); own[n] == "" {
				own[n] = base
			} else if base != own[n] {
				t.Fatalf("feature %d: process %d has the slot %s after %s", i, n, base, own[n])
			}
		}
		for n := range marks {
			start(n)
		}
		for range 30 {
			down := r.Perm(len(marks))[:1+r.IntN(len(marks))]
			for _, n := range down {
				slots[n].free()
			}
			r.Shuffle(len(down), func(x, y int) { down[x], down[y] = down[y], down[x] })
			for _, n := range down {
				start(n)
			}
		}
		for _, s := range slots {
			s.free()
		}
	}
}

// TestUpgradeFindsItsSlot: a process that is started with one change goes on with the files of its
// previous run, also beside a free slot of another process. A slot that was never used comes last.
func TestUpgradeFindsItsSlot(t *testing.T) {
	features, _ := alike(0)
	for i := range features {
		dir := t.TempDir()
		first, _ := alike(i)
		other := slices.Clone(first)
		other[(i+1)%len(other)], other[(i+2)%len(other)] = "of another", "process"
		_, changed := alike(i)
		for _, m := range []mark{other, first} {
			if _, err := takeSlot(dir, "auth", m); err != nil {
				t.Fatal(err)
			}
		}
		all := first.likeliest(dir, "auth")
		if got := filepath.Base(all[0].base); got != "auth.2" {
			t.Fatalf("its own slot is %s", got)
		}
		all = changed.likeliest(dir, "auth")
		if got := fmt.Sprint(filepath.Base(all[0].base), filepath.Base(all[1].base)); got != "auth.2 auth" &&
			got != "auth.2auth" {
			t.Errorf("with another feature %d it tries %s", i, got)
		}
		if got := filepath.Base(all[2].base); got != "auth.3" {
			t.Errorf("the first slot that was never used is %s", got)
		}
	}
}

// TestUnitOf reads the unit of a process from /proc/self/cgroup, as version 1 and 2 write it. A
// session has no unit: its name is another one after each login.
func TestUnitOf(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/system-auth.slice/auth@1.service\n":                                "auth@1.service",
		"4:pids:/system.slice/auth@2.service\n1:name=systemd:/system.slice/auth@2.service\n": "auth@2.service",
		"0::/user.slice/user-1000.slice/session-3.scope\n":                                   "",
		"0::/\n": "",
		"":       "",
		"auth":   "",
	} {
		if got := unitOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
