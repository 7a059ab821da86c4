package main

import (
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// TestTooOld: status and doctor name each process that can't apply the next entry, with
// the needs that it does not know. A process that is ahead of the command is not behind.
func TestTooOld(t *testing.T) {
	trail := []rollout.Entry{{Cluster: "c", Generation: rollout.Generation{N: 1}}}
	log, err := rollout.Replay(trail)
	if err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]operator.MemberStatus{
		"current": {Applied: log.Last(), Hash: log.Hash()},
		"too old": {Applied: log.Last(), Hash: log.Hash(), Lacks: []string{"future-1"}},
		"ahead":   {Applied: rollout.Generation{N: 2}, Hash: "x"},
		"behind":  {},
	} {
		st, err := releases.StatusOf(releases.Site{Status: operator.Status{Trail: trail,
			Members: []operator.MemberStatus{p}}})
		if err != nil || st.Processes[0].State != want {
			t.Errorf("%+v is %+v (%v), want %q", p, st.Processes, err, want)
		}
	}
	f := &findings{area: "Rules"}
	f.rules([]operator.MemberStatus{{Process: "h/1/a"}, {Process: "h/2/b", Lacks: []string{"future-1"}}})
	if len(f.list) != 1 || !strings.Contains(string(f.list[0].Text), "h/2/b") ||
		!strings.Contains(string(f.list[0].Text), "future-1") {
		t.Errorf("doctor says %+v", f.list)
	}
}
