package releases

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Line is a sentence about a release.
type Line struct {
	Text string
	Mend string // what helps; "": nothing is to be done
	Bad  bool   // releases, or a step of one, can't go on
}

// Headline says how the releases of a site stand, in the words of skerry release status.
func Headline(st Status, now time.Time) (lines []Line) {
	say := func(bad bool, mend, format string, values ...any) {
		lines = append(lines, Line{fmt.Sprintf(format, values...), mend, bad})
	}
	switch {
	case st.Release == nil:
		say(false, "", "There has been no release yet; generation %v.", st.Generation)
	case st.Open:
		say(false, "", "R%s, at generation %v.", Describe(*st.Release, now)[1:], st.Generation)
	default:
		say(false, "", "No release is open; the last one was %s of %s (%s), at generation %v.", st.Release.Name,
			st.Release.By, st.Release.Reason, st.Generation)
	}
	if len(st.Processes) == 0 {
		say(true, "", "No process of the site answers; this is what the database holds.")
	}
	if st.Frozen != "" {
		say(true, "", "FROZEN: %s. Requests go on; nothing can be committed or retired.", st.Frozen)
	}
	for _, e := range st.Pending {
		say(true, "", "HALF-WAY: %s by %s, generation %v, is promised and not committed. Its command runs, or was cut "+
			"off: skerry release refresh.", e.Step, e.By, e.Generation)
	}
	if len(st.Envelope) > 0 {
		say(true, "see whether an operator did it; then, by another key: skerry release acknowledge",
			"ENVELOPE: its key has signed %s", EnvelopeText(st.Envelope))
	}
	return lines
}

// guardStep is how the step of a guard that turns a release back begins.
const guardStep = "roll back by the guard"

// TurnedBack returns why the guard has turned the newest release back, "" when it has not.
func (s Site) TurnedBack() string {
	r, _ := s.Newest()
	for _, e := range slices.Backward(s.Trail) {
		if e.Session == nil || e.Session.Name != r.Name {
			break
		}
		if why, ok := strings.CutPrefix(e.Step, guardStep); ok {
			return strings.TrimLeft(why, ":, ")
		}
	}
	return ""
}

// Changes says what the open release waits for while versions that may not run beside each other change: which
// process is to be stopped, and what is to be started. They are the lines of skerry release commit and rollback.
func (s Site) Changes() (lines []string) {
	log, err := s.Log()
	if err != nil {
		return nil
	}
	r, _ := s.Newest()
	for _, m := range s.ChangingOver() {
		if rule, _ := log.Rule(m.Service); rule.Turn != "" {
			continue // requests still need it; the holders say which
		}
		goes, comes := m.Old, m.New
		if r.State == rollout.RollingBack {
			goes, comes = m.New, m.Old
		}
		p := operator.Progress{Step: "begin", Service: m.Service, Version: comes,
			Runs: s.having(Title(m.Service, comes), func(k operator.MemberStatus) []string { return k.Waits })}
		if runs := s.having(Title(m.Service, goes),
			func(k operator.MemberStatus) []string { return k.Runs }); len(runs) > 0 {
			p = operator.Progress{Step: "leave", Service: m.Service, Version: goes, Runs: runs}
		}
		lines = append(lines, changeText(p, nil))
	}
	return lines
}

// having returns the processes whose list has a version.
func (s Site) having(version string, list func(operator.MemberStatus) []string) (names []string) {
	for _, k := range s.Members {
		if slices.Contains(list(k), version) {
			names = append(names, k.Process)
		}
	}
	return names
}
