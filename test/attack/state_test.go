//go:build linux

package attack

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

func mustJSON(t *testing.T, b []byte, into any) {
	t.Helper()
	must(t, json.Unmarshal(b, into))
}

// keptRules is the file in which the provider keeps its rules.
func keptRules(t *testing.T, s *site) string {
	t.Helper()
	found, err := filepath.Glob(s.path("provider-state") + "/*/*.rules.json")
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("files of rules: %q", found)
	}
	return found[0]
}

// forge appends an entry without proof to those that a process has saved.
func forge(t *testing.T, s *site, file string, at rollout.Position) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	var saved participant.Saved
	mustJSON(t, b, &saved)
	e := s.entry(t, at, "v9")
	saved.Records, saved.Tip = append(saved.Records, e.Record()), e.Hash()
	b, err = json.Marshal(saved)
	must(t, err)
	must(t, os.WriteFile(file, b, 0o600))
}
