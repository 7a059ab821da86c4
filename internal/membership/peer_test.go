package membership

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/trust"
	"github.com/skerry/skerry/registry"
)

// TestPeersThatLeftCostNothing: processes come, are asked once, and leave. The connections of those that are on no list
// end; a process that is listed keeps its own, however seldom it is asked.
func TestPeersThatLeftCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		believes, err := trust.New(trust.Config{Cluster: "test", Mode: trust.Open})
		must(t, "trust", err)
		m := &Membership{cfg: Config{Trust: believes}, log: quiet, work: run.NewGroup(t.Context()), list: newList(nil)}
		member := func(i int) Member {
			return Member{Owner: registry.Owner{Host: "h", PID: i, Epoch: 1}, Addr: fmt.Sprintf("10.0.0.9:%d", 1000+i)}
		}
		listed := member(0)
		m.list.all[listed.Owner] = &listed
		m.list.listed["lan"] = map[registry.Owner]bool{listed.Owner: true}
		stays, err := m.peer(listed)
		must(t, "peer", err)
		for i := range 1000 {
			time.Sleep(peerIdle / 20)
			p, err := m.peer(member(1 + i))
			must(t, "peer", err)
			p.client()
			synctest.Wait()
			if n := len(m.peers.all); n > 25 {
				t.Fatalf("%d connections after %d processes", n, i+2)
			}
		}
		if again, _ := m.peer(listed); again != stays {
			t.Error("the process that is listed has lost its connection")
		}
		must(t, "stop", m.work.Stop())
		must(t, "close", m.peers.close())
	})
}
