package rpc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// TestForkLog: between two logs that have forked, an exchange of rules is tried every 5 s, and logged
// once a minute.
func TestForkLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p forkLog
		here, there := rollout.Position{Hash: "a"}, rollout.Position{Hash: "b"}
		said := 0
		for range 25 { // two minutes, and the first time
			if p.known(here, there) {
				t.Error("they exchange no rules for longer than 5 s")
			}
			if p.note(here, there) {
				said++
			}
			if !p.known(here, there) {
				t.Error("they exchange rules again at once")
			}
			time.Sleep(forkFresh)
		}
		if said != 3 {
			t.Errorf("said %d times in two minutes, want 3", said)
		}
		if !p.note(there, here) {
			t.Error("another pair is not said")
		}
	})
}
