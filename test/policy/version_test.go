//go:build linux

package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/testsite"
)

// older is this tree as it was before there were policies: a process has no such methods, announces none, and reads
// none.
var older = []testsite.Change{
	{File: "internal/membership/service.go",
		Old: `	_, err := server.HandleInternal(InternalService, "", wire.NewInternalProcessor(s),`,
		New: `	p := wire.NewInternalProcessor(s)
	delete(p.ProcessorMap(), "policies")
	delete(p.ProcessorMap(), "bringPolicies")
	_, err := server.HandleInternal(InternalService, "", p,`},
	{File: "internal/membership/policy.go", Old: "func (m *Membership) policyNews() string {\n",
		New: "func (m *Membership) policyNews() string {\n	if m != nil {\n		return \"\"\n	}\n"},
	{File: "internal/membership/policy.go",
		Old: "func announcedPolicy(tag string) (number uint64, mark string) {\n",
		New: "func announcedPolicy(tag string) (number uint64, mark string) {\n	tag = \"\"\n"},
	{File: "internal/membership/policy.go",
		Old: "func (m *Membership) LearnPolicies(stored []policylog.Stored) {\n",
		New: "func (m *Membership) LearnPolicies(stored []policylog.Stored) {\n	stored = nil\n"},
}

// newer is this tree as it may become: limits and entries of access have a further key.
var newer = []testsite.Change{
	{File: "policy/form/shape.go", Old: "type limit struct {\n",
		New: "type limit struct {\n	Queue int `yaml:\"queue\"`\n"},
	{File: "policy/form/shape.go", Old: "type grants struct {\n",
		New: "type grants struct {\n	Season []string `yaml:\"season\"`\n"},
}

// builtOlder builds the roles of this test as an older program.
var builtOlder = sync.OnceValues(func() (string, error) {
	return built("older", older, "test", "-c", "-vet=off", "-ldflags=-s -w")
})

// builtNewer builds the operator's command as a newer one.
var builtNewer = sync.OnceValues(func() (string, error) {
	return built("newer", newer, "build", "-ldflags=-s -w")
})

// built builds a changed tree by an action of the go command: the test itself, or the command of operators.
func built(name string, changes []testsite.Change, action ...string) (path string, err error) {
	dir, err := filepath.Abs("../../.build/policy/" + name)
	if err != nil {
		return "", err
	}
	list, err := testsite.Overlay(dir, "../..", changes)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "program")
	from := "."
	if action[0] == "build" {
		from = "../../cmd/skerry"
	}
	return path, testsite.Go(append(action, "-overlay", list, "-o", path, from)...)
}

// TestVersionsHaveTheirPlace shows at once, without a scene, that a change of the tree has removed a text that older or
// newer replaces. It builds both, as nothing that fills the processors runs beside scenes that measure times.
func TestVersionsHaveTheirPlace(t *testing.T) {
	for _, changes := range [][]testsite.Change{older, newer} {
		_, err := testsite.Overlay(t.TempDir(), "../..", changes)
		must(t, err)
	}
	for _, build := range []func() (string, error){command, builtOlder, builtNewer} {
		_, err := build()
		must(t, err)
	}
}

// TestOlderProcess: a provider knows no policies. What it would not enforce is refused, unless the operator accepts it;
// what callers do is obeyed by the others. The commands name it.
func TestOlderProcess(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, lines string) {
		s := prepare(t, lines)
		present := s.roles
		var err error
		s.roles, err = builtOlder()
		must(t, err)
		old := s.start("b")
		s.roles = present
		for _, name := range []string{"a", "near", "far"} {
			s.start(name)
		}
		s.warm()
		host, err := os.Hostname()
		must(t, err)
		name := fmt.Sprintf("%s/%d", host, old.pid)
		const knowsNone = "its release of skerry knows no policies"

		said, code := s.runs(hostNear, "policy", "apply", s.text("plain", notNear))
		if code != 1 || !strings.Contains(said, name) || !strings.Contains(said, knowsNone) ||
			!strings.Contains(said, "Nothing was done") {
			t.Fatalf("access at a process that knows no policies: exit code %d\n%s", code, said)
		}
		o := s.operator(hostNear, "", "policy", "apply", "--although", name, s.text("plain", notNear))
		if o.asked() {
			o.yes()
		}
		if said, code := o.end(); code != 1 || !strings.Contains(said, "Policy 1 is obeyed by 3 of 4 processes") {
			t.Errorf("--although: exit code %d\n%s", code, said)
		}
		s.sees(scene{kind: "plain", hidden: unsaid, judged: []string{"near"}, says: func(_, c call) evidence {
			switch {
			case c.code == "access_denied":
				return with
			case c.who == "a":
				return without
			}
			return unsaid // the older process executes it
		}}, with, o.at)
		if said, _ := s.runs(hostNear, "policy", "history"); !strings.Contains(said, "although "+name) {
			t.Errorf("the history does not keep what was accepted:\n%s", said)
		}
		for _, args := range [][]string{{"policy", "show", "--processes"}, {"doctor"}} {
			if said, code := s.runs(hostNear, args...); code != 1 || !strings.Contains(said, knowsNone) {
				t.Errorf("skerry %s: exit code %d\n%s", strings.Join(args, " "), code, said)
			}
		}
		s.sees(spare("b"), with, s.apply("plain", onlyA))
	})
}

// TestNewerPolicy: a text of a later version has keys that the processes do not know. They leave these items out whole,
// obey the rest, and keep the access lists that they understood last; the commands name them.
func TestNewerPolicy(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, lines string) {
		s := newSite(t, lines)
		s.call(wish{Service: "access"})
		denied := scene{kind: "access", judged: []string{"near"}, says: failsAs("access_denied")}
		s.sees(denied, with, s.apply("access", notNear))
		present := s.tool
		var err error
		s.tool, err = builtNewer()
		must(t, err)
		text := s.file(`policy: 1
services:
  plain:
    weights: [{zone: hall-2, weight: 0}]
    limits:
      - {rate: 1, burst: 1, per: instance, queue: 5}
  access:
    access: {mode: enforce, default: allow, deny: [{caller: far, season: [winter]}]}
`)
		changed := time.Now()
		said, code := s.runs(hostNear, "policy", "apply", text)
		named := strings.Contains(said, "services.plain.limits[0]") || strings.Contains(said, "services.access.access")
		if code != 1 || !strings.Contains(said, "obeyed by 0 of 4") || !named {
			t.Fatalf("apply of a newer text: exit code %d\n%s", code, said)
		}
		s.settles(denied, with, changed)
		s.settles(scene{kind: "access", hidden: with, judged: []string{"far"}, says: failsAs("access_denied")}, without,
			changed)
		for _, c := range s.journal.of("near", "access", changed) {
			if c.code == "ok" {
				t.Errorf("a call was executed that the list understood last refuses: %+v", c)
			}
		}
		for _, c := range s.journal.of("far", "access", changed) {
			if c.code != "ok" {
				t.Errorf("a call was refused by a list that is not understood: %+v", c)
			}
		}
		s.call(wish{Service: "plain"})
		s.settles(spare("b"), with, time.Now())
		for _, name := range callers {
			for _, c := range s.journal.of(name, "plain", changed) {
				if c.code == "limited" {
					t.Errorf("an item that is not understood limits: %+v", c)
				}
			}
		}
		s.tool = present
		for _, args := range [][]string{{"policy", "show", "--processes"}, {"doctor"}} {
			said, code := s.runs(hostNear, args...)
			if code != 1 || !strings.Contains(said, "it can't obey services.") {
				t.Errorf("skerry %s: exit code %d\n%s", strings.Join(args, " "), code, said)
			}
		}
	})
}
