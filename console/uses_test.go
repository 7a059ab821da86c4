package console

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// TestLastUsesAreKept: a console that starts again knows when rights were used last, and does not take the counts of
// its first look for new calls.
func TestLastUsesAreKept(t *testing.T) {
	at := time.Date(2026, 11, 29, 3, 12, 10, 0, time.UTC)
	dir := t.TempDir()
	look := func(m *policyMemory, at time.Time, calls int64) map[string]use {
		s := &snapshot{At: at}
		c := control.Counts{Process: "ops-1/412/a", Slower: [][]operator.Served{{{Service: "auth", Made: true,
			Count: operator.Count{Calls: calls}}}}}
		m.tellUses(s, []control.Counts{c}, []control.Identity{{Process: "ops-1/412/a", Caller: "portal"}})
		uses := map[string]use{}
		for _, u := range s.Policy.Uses {
			uses[u.Caller+" "+u.Service] = u
		}
		return uses
	}
	first := &policyMemory{dir: dir}
	if u := look(first, at, 5)["portal auth"]; !u.Last.IsZero() {
		t.Errorf("the first look takes older calls for new ones: %+v", u)
	}
	look(first, at.Add(time.Minute), 6)
	if err := first.save(at.Add(2*time.Minute), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, usesFile)); err == nil {
		t.Error("uses are written more often than they have to")
	}
	if err := first.save(at.Add(2*time.Minute), true); err != nil {
		t.Fatal(err)
	}

	second := &policyMemory{dir: dir}
	if err := second.load(); err != nil {
		t.Fatal(err)
	}
	if u := look(second, at.Add(time.Hour), 9)["portal auth"]; !u.Last.Equal(at.Add(time.Minute)) || u.Calls != 9 {
		t.Errorf("after a restart the last use is %+v", u)
	}
	if u := look(second, at.Add(2*time.Hour), 10)["portal auth"]; !u.Last.Equal(at.Add(2 * time.Hour)) {
		t.Errorf("a new call is not seen: %+v", u)
	}

	if err := os.WriteFile(filepath.Join(dir, usesFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&policyMemory{dir: dir}).load(); err == nil || !strings.Contains(err.Error(), usesFile) {
		t.Errorf("a broken file is read with %v", err)
	}
}

// TestUnusedRightsTellTheirLastUse: the card of rights that are not used says when they were, before the restart.
func TestUnusedRightsTellTheirLastUse(t *testing.T) {
	s := night()
	s.Policy.Current.Text = "policy: 1\nservices:\n  auth:\n    access: {mode: audit, default: deny, " +
		"allow: [{caller: archive}, {caller: never}]}\n"
	last := s.At.Add(-72 * time.Hour)
	s.Policy.Uses = []use{{Caller: "archive", Service: "auth", Last: last}}
	page := get(t, signedIn(t, still{s}, Config{}), "/policy/access", in(english)).Body.String()
	has(t, page, "2 rights are not used", last.Format("15:04"))
}
