package main

import (
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// TestTooOld: status and doctor name each process that can't apply the next entry, with
// the needs that it does not know. A process that is ahead of the command is not behind.
func TestTooOld(t *testing.T) {
	log, err := rollout.Replay([]rollout.Entry{{Cluster: "c", Generation: rollout.Generation{N: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]process{
		"current": {Applied: log.Last(), Hash: log.Hash()},
		"too old": {Applied: log.Last(), Hash: log.Hash(), Lacks: []string{"future-1"}},
		"ahead":   {Applied: rollout.Generation{N: 2}, Hash: "x"},
		"behind":  {},
	} {
		if got := (siteState{}).stateOf(p, log); got != want {
			t.Errorf("%+v is %q, want %q", p, got, want)
		}
	}
	f := &findings{area: "Rules"}
	f.rules([]operator.MemberStatus{{Process: "h/1/a"}, {Process: "h/2/b", Lacks: []string{"future-1"}}})
	if len(f.list) != 1 || !strings.Contains(string(f.list[0].Text), "h/2/b") ||
		!strings.Contains(string(f.list[0].Text), "future-1") {
		t.Errorf("doctor says %+v", f.list)
	}
}
