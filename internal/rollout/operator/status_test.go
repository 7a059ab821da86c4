package operator

import (
	"testing"
	"testing/synctest"

	"github.com/skerry/skerry/internal/rollout/participant"
)

// The status shows the silent processes, those of them that are dead for
// certain, and calls that belong to no trace.
func TestStatusOfProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := cell()
		var stray participant.Trace
		w.proc(portal).Origin("portal.get", "portal/v1").Orphan(&stray, 1)
		stray.End()
		w.proc(0).silent.Store(true)
		w.proc(1).silent.Store(true)
		w.ended[w.members[1].Process] = true
		for i, m := range c.Status(t.Context()).Members {
			if silent, dead := i < 2, i == 1; (m.Silent != "") != silent || m.Ended != dead {
				t.Errorf("%s: silent %q, ended %v", m.Process, m.Silent, m.Ended)
			}
			if n := m.Orphans["portal.get"]; n != 0 != (i == portal) {
				t.Errorf("%s: orphans %v", m.Process, m.Orphans)
			}
		}
	})
}
