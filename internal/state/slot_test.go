package state

import (
	"fmt"
	"path/filepath"
	"testing"
)

func TestSlots(t *testing.T) {
	dir := t.TempDir()
	var held []slot // otherwise the collector closes their files
	defer func() {
		for _, s := range held {
			s.free()
		}
	}()
	take := func(want string) slot {
		t.Helper()
		s, err := takeSlot(dir, "auth", nil)
		if err != nil || filepath.Base(s.base) != want {
			t.Fatalf("got %s, %v; want %s", s.base, err, want)
		}
		held = append(held, s)
		return s
	}
	first, second := take("auth"), take("auth.2")
	take("auth.3")
	first.free()
	take("auth") // the restarted process
	second.free()
	take("auth.2")
	for i := 4; i <= maxSlots; i++ {
		take(fmt.Sprintf("auth.%d", i))
	}
	if s, err := takeSlot(dir, "auth", nil); err == nil {
		t.Errorf("one slot too many: %s", s.base)
	}
	if other, err := takeSlot(dir, "proc", nil); err != nil || filepath.Base(other.base) != "proc" {
		t.Errorf("of another service: %s, %v", other.base, err)
	}
}

// Without locks the files are shared, and err says so.
func TestSlotsWithoutLocks(t *testing.T) {
	s, err := takeSlot(filepath.Join(t.TempDir(), "missing"), "auth", nil)
	if err == nil || filepath.Base(s.base) != "auth" {
		t.Errorf("got %s, %v", s.base, err)
	}
	s.free()
}
