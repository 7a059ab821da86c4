package operator

import (
	"context"
	"sync"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator/operatortest"
	"github.com/skerry/skerry/internal/rollout/participant"
)

func TestMemory(t *testing.T) {
	operatortest.Store(t, func(*testing.T) operatortest.Log { return &Memory{} })
}

func TestBallot(t *testing.T) {
	operatortest.Store(t, func(*testing.T) operatortest.Log { return &Ballot{Site: newWorld(3)} })
}

// world is a site of processes in memory.
type world struct {
	mu        sync.Mutex // guards the lists when several processes leave at once
	members   []Member
	ended     map[string]bool
	instances []Instance
	blind     func() bool // reports whether the lists are empty now; nil: never
}

func newWorld(n int) *world { return guarded(n, "", nil) }

// guarded is a world of a cluster. Its processes trust the keys of a ring.
func guarded(n int, cluster string, trust rollout.Trust) *world {
	w := &world{ended: map[string]bool{}}
	for i := range n {
		name := "host/" + string(rune('1'+i)) + "/e"
		a, err := participant.New(participant.Config{Process: name, Cluster: cluster, Trust: trust})
		if err != nil {
			panic(err)
		}
		w.members = append(w.members, Member{Process: name, Peer: &proc{Agent: a, w: w}})
	}
	return w
}

func (w *world) Members(context.Context) ([]Member, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.members, nil
}

func (w *world) Ended(_ context.Context, process, _ string) bool { return w.ended[process] }
func (w *world) Instances(_ context.Context, service string) (out []Instance, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blind != nil && w.blind() {
		return nil, nil
	}
	for _, in := range w.instances {
		if in.Service == service {
			out = append(out, in)
		}
	}
	return out, nil
}

func (w *world) proc(i int) *proc {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.members[i].Peer.(*proc)
}
