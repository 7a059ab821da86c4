//go:build linux

package policy

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/testsite"
)

// healed is how long after the end of a partition all processes obey one policy.
const healed = 2 * time.Second

// TestOperatorsOnBothSides: the LAN falls in two, and an operator on each side changes the policy. When it has healed
// all processes obey one of the two, and the other one is named.
func TestOperatorsOnBothSides(t *testing.T) {
	t.Parallel()
	s := newSite(t, onTheLAN)
	s.sees(scene{kind: "plain", hidden: with, says: spares("x")}, with, s.apply("plain", `{timeout: 4s}`))
	s.lan.Partition(hostA, hostNear)
	sides := []*operator{
		s.operator(hostNear, "", "policy", "apply", "--by", "li", s.text("plain", `{zone_first: false, timeout: 3s}`)),
		s.operator(hostFar, "", "policy", "apply", "--by", "wang", s.text("plain", onlyB)),
	}
	for _, o := range sides {
		if o.asked() {
			o.yes()
		}
	}
	for i, o := range sides {
		if said, _ := o.end(); !strings.Contains(said, "Policy 2 is obeyed by ") {
			t.Fatalf("on side %d: %s", i, said)
		}
	}
	s.lan.Partition()
	from := time.Now()
	var hash []string
	lab.Eventually(t, patience, func() bool {
		hash = s.hashes()
		return len(slices.Compact(slices.Clone(hash))) == 1
	}, func() string { return fmt.Sprintf("all processes have one policy; they have %q", hash) })
	took := s.announced().Sub(from)
	t.Logf("one winner %v after the heal", took.Round(time.Millisecond))
	if took > healed {
		t.Errorf("one winner %v after the heal, want %v at most", took, healed)
	}
	s.await("the history names the one that lost", func() bool {
		said, _ := s.runs(hostNear, "policy", "history")
		return strings.Contains(said, "lost to another one at once") && strings.Contains(said, "li") &&
			strings.Contains(said, "wang")
	})
	if said, _ := s.runs(hostFar, "doctor"); !strings.Contains(said, "two operators changed the policy at once") {
		t.Errorf("doctor says nothing of the two operators:\n%s", said)
	}
}

// hashes returns the policy that each process has taken in last, by its log.
func (s *site) hashes() (out []string) {
	for _, name := range append([]string{"a", "b"}, callers...) {
		text := ""
		for line := range strings.Lines(s.journal.process(name).Logged()) {
			if strings.Contains(line, "site's policy has changed") {
				text = changeLine.FindString(line)
			}
		}
		out = append(out, text)
	}
	return out
}

var changeLine = regexp.MustCompile(`number=\d+ by=\S+`)

// announced is when the last process has taken a policy in, by its log.
func (s *site) announced() (last time.Time) {
	for _, name := range append([]string{"a", "b"}, callers...) {
		for line := range strings.Lines(s.journal.process(name).Logged()) {
			if !strings.Contains(line, "site's policy has changed") {
				continue
			}
			word, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			if at, err := time.Parse(time.RFC3339Nano, word); err == nil && at.After(last) {
				last = at
			}
		}
	}
	return last
}

// TestOperatorsInTrouble plays what happens to operators on one site of each mode.
func TestOperatorsInTrouble(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, lines string) {
		s := newSite(t, lines)
		s.sees(spare("b"), with, s.apply("plain", onlyA))
		s.twoAtOnce()
		s.strangers()
		s.killed()
		s.notConfirmed()
	})
}

// twoAtOnce: the answer of an operator comes after the change of another one, and is refused.
func (s *site) twoAtOnce() {
	s.t.Helper()
	late := s.operator(hostNear, "", "policy", "apply", "--by", "li", s.text("plain", onlyB))
	if !late.asked() {
		s.t.Fatalf("the first operator was not asked: %s", late.said())
	}
	if said, code := s.runs(hostFar, "policy", "apply", "--by", "wang", s.text("plain", `{timeout: 4s}`)); code != 0 {
		s.t.Fatalf("the second operator: exit code %d\n%s", code, said)
	}
	late.yes()
	if said, code := late.end(); code != 1 || !strings.Contains(said, "of wang") ||
		!strings.Contains(said, "Nothing was done") {
		s.t.Errorf("the operator that was late: exit code %d\n%s", code, said)
	}
}

// strangers: a laptop without the site's key, or with another one, changes nothing. With a database a laptop that may
// read the site's keys there has them.
func (s *site) strangers() {
	s.t.Helper()
	before := s.hashes()
	laptops := map[string]string{
		"with another key": strings.Replace(s.lines, testsite.SiteKey, testsite.OtherSiteKey, 1),
	}
	if s.lines == onTheLAN {
		laptops["without a key"] = "mode: broadcast\n"
	}
	for name, lines := range laptops {
		at := s.configure("laptop", lines+"site: {calls: prefer}\n", "")
		o := s.operator(hostFar, at, "policy", "apply", "--yes", s.text("plain", onlyB))
		if said, code := o.end(); code == 0 {
			s.t.Errorf("a laptop %s: exit code 0\n%s", name, said)
		}
	}
	if now := s.hashes(); !slices.Equal(before, now) {
		s.t.Errorf("a laptop has changed the policy from %q to %q", before, now)
	}
}

// killed: a command is killed at some moment of its change. All processes obey the new policy or none does, and the
// next command changes it.
func (s *site) killed() {
	s.t.Helper()
	for i, after := range []time.Duration{0, 2, 5, 10, 20, 40} {
		o := s.operator(hostNear, "", "policy", "apply", s.text("plain", []string{onlyB, onlyA}[i%2],
			fmt.Sprint("# ", i)))
		if !o.asked() {
			s.t.Fatalf("the operator was not asked: %s", o.said())
		}
		o.yes()
		time.Sleep(after * time.Millisecond)
		_ = o.cmd.Process.Kill()
		o.end()
		killed := time.Now()
		var hash []string
		lab.Eventually(s.t, patience, func() bool {
			hash = s.hashes()
			return len(slices.Compact(slices.Clone(hash))) == 1
		}, func() string { return fmt.Sprintf("a command was killed, and processes obey %q", hash) })
		if took := s.announced().Sub(killed); took > bound {
			s.t.Errorf("all obeyed one policy %v after the end of the command, want %v", took, bound)
		}
	}
	s.sees(spare("b"), with, s.apply("plain", onlyA, "# after the killed ones"))
}

// TestManyItems: a policy of 10,000 items is obeyed in time; no call fails or waits long meanwhile. It runs alone.
func TestManyItems(t *testing.T) {
	s := newSite(t, onTheLAN)
	s.sees(spare("b"), with, s.apply("plain", onlyA))
	const each, count = 100, 100
	var text strings.Builder
	text.WriteString("policy: 1\nservices:\n  plain:\n    weights: [{zone: hall-1, weight: 0}]\n")
	for service := range count {
		fmt.Fprintf(&text, "  s%d:\n    limits:\n", service)
		for item := range each {
			fmt.Fprintf(&text, "    - {match: {caller: c%d}, rate: 9, per: site}\n", item)
		}
	}
	before, worked := map[string]int{}, map[string]time.Duration{}
	for _, name := range append([]string{"a", "b"}, callers...) {
		before[name], worked[name] = s.memory(name), s.processor(name)
	}
	begun := time.Now()
	took := s.settles(spare("a"), with, s.changes("apply", s.file(text.String())))
	work := time.Duration(0)
	for name, had := range worked {
		work = max(work, s.processor(name)-had)
	}
	s.sees(spare("b"), with, s.apply("plain", onlyA))
	longest, calls := time.Duration(0), 0
	for _, name := range callers {
		for _, c := range s.journal.of(name, "plain", begun) {
			calls++
			if longest = max(longest, c.took); c.code != "ok" {
				s.t.Errorf("a call failed while the policy changed: %+v", c)
			}
		}
	}
	grown := 0
	for name, kib := range before {
		grown = max(grown, s.memory(name)-kib)
	}
	s.t.Logf("10,000 items: obeyed after %v and %v of processor, the longest of %d calls took %v, "+
		"a process has grown by %d MiB",
		took.Round(time.Millisecond), work, calls, longest.Round(time.Millisecond), grown>>10)
	if work > 3*bound { // how long it took depends on what else these processors do
		s.t.Errorf("10,000 items are obeyed with %v of processor, want %v at most", work, 3*bound)
	}
	if longest > bound {
		s.t.Errorf("a call took %v while the policy changed, want %v at most", longest, bound)
	}
	if grown > 256<<10 {
		s.t.Errorf("a process has grown by %d KiB", grown)
	}
}

// memory is the most memory that a process has used, in KiB.
func (s *site) memory(name string) (kib int) {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.journal.process(name).pid))
	must(s.t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		s.t.Fatal(err)
	}
	return kib
}

// processor is the time that processors have worked for a process.
func (s *site) processor(name string) time.Duration {
	s.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.journal.process(name).pid))
	must(s.t, err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime of proc_pid_stat(5), in hundredths of a second
		n, err := strconv.Atoi(f)
		must(s.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// notConfirmed: what is not confirmed in time ends by itself.
func (s *site) notConfirmed() {
	s.t.Helper()
	const within = 10 * time.Second
	begun := s.changes("apply", "--confirm", within.String(), s.text("plain", onlyB))
	s.sees(spare("a"), with, begun)
	late := begun.Add(within - bound)
	time.Sleep(time.Until(late))
	// By now no call goes to a; with the end of the policy all go there again.
	back := s.settles(scene{kind: "plain", says: func(_, c call) evidence { return whether(c.who == "a") }}, with, late)
	if back += within - bound; back < within || back > within+bound {
		s.t.Errorf("what was to be confirmed within %v went back after %v", within, back)
	}
	s.t.Logf("not confirmed within %v: went back after %v", within, back.Round(time.Millisecond))
}
