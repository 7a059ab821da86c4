//go:build linux

package consistency

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout/participant"
)

// TestAlteredRules: while processes are down, the rules that they keep are altered and stay valid
// JSON: a version in them, a missing step, the last step's signature. The processes put them aside,
// log it, and learn the rules again from others. No request is affected.
func TestAlteredRules(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3, onTheLAN)
	s.portals(0)
	s.serve(0, "auth-1", "auth", "v1")
	s.serve(0, "proc-1", "proc", "v1")
	plans := []plan{call("portal", call("auth"), call("proc", call("auth")))}
	s.users(2, "users", part{Plans: plans}, 0)
	s.open("ann")
	s.serve(0, "auth-2", "auth", "v2")
	s.serve(0, "proc-2", "proc", "v2")
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	s.release("commit")
	s.release("clean")

	alter := map[string]func(*participant.Saved){
		"portal": func(r *participant.Saved) {
			for i := range r.Records {
				r.Records[i].Body = strings.ReplaceAll(r.Records[i].Body, `"v2"`, `"v1"`)
			}
		},
		"auth": func(r *participant.Saved) { r.Records = slices.Delete(r.Records, 2, 3) },
		"proc": func(r *participant.Saved) { r.Records[len(r.Records)-1].Proofs = nil },
	}
	down := map[string]*process{
		"portal": s.portals(1)[0],
		"auth":   s.serve(1, "auth-2b", "auth", "v2"),
		"proc":   s.serve(1, "proc-2b", "proc", "v2"),
	}
	s.more(50)
	for service, p := range down {
		p.stop()
		s.alters(p.Name, alter[service])
	}
	up := []*process{
		s.serve(1, "auth-2c", "auth", "v2", how{state: "auth-2b"}),
		s.serve(1, "proc-2c", "proc", "v2", how{state: "proc-2b"}),
		s.serve(1, "portal-1c", "portal", "v1", how{entry: true, state: "portal-1"}),
	}
	s.users(2, "users-of-the-altered", part{Plans: plans}, 1)
	for _, p := range up {
		s.await(p.Name+" is called", func() bool {
			return s.book.count(began, func(n note) bool { return strings.HasPrefix(n.ID, p.Name+"#") }) > 50
		})
		text, err := os.ReadFile(p.log)
		must(t, err)
		if n := bytes.Count(text, []byte("kept rules of versions are not believed")); n != 1 {
			t.Errorf("%s warned %d times of the rules that were altered, want once", p.Name, n)
		}
	}
	for _, state := range []string{"auth-2b", "proc-2b", "portal-1"} {
		for _, ending := range []string{".rules.json.aside", ".rules.json"} {
			s.await(state+" keeps "+ending, func() bool { return len(s.kept(state, ending)) == 1 })
		}
	}
	v := s.judge(1000)
	if v.failed > 0 {
		t.Errorf("%d requests failed", v.failed)
	}
	for _, span := range v.history.Spans {
		if strings.HasPrefix(span.Trace, "users-of-the-altered/") && span.Version == "v1" && span.Service != "portal" {
			t.Fatalf("span %s met %s v1, which had gone", span.ID, span.Service)
		}
	}
}

// kept returns the files of a state directory with an ending.
func (s *site) kept(state, ending string) []string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, state+"-state", "*", "*"+ending))
	must(s.t, err)
	return files
}

// alters changes the rules that a process has kept.
func (s *site) alters(state string, change func(*participant.Saved)) {
	s.t.Helper()
	files := s.kept(state, ".rules.json")
	if len(files) != 1 {
		s.t.Fatalf("rules kept in %s: %v", state, files)
	}
	text, err := os.ReadFile(files[0])
	must(s.t, err)
	var saved participant.Saved
	must(s.t, json.Unmarshal(text, &saved))
	change(&saved)
	changed, err := json.Marshal(saved)
	must(s.t, err)
	if bytes.Equal(changed, text) {
		s.t.Fatalf("the rules of %s were not altered: %s", state, text)
	}
	must(s.t, os.WriteFile(files[0], changed, 0o600))
}
