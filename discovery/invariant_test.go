package discovery

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// After any messages of sources, in any order, the parts of the list agree with one another and
// with the rules of doc.go.
func TestInvariants(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, nil)
			r := rand.New(rand.NewPCG(seed, 1))
			s := w.service("auth")
			for step := range 200 {
				randomStep(w, r)
				synctest.Wait()
				checkUnion(t, s, seed, step)
			}
			// Once all sources work and every probe is answered, the list equals the list of the
			// sources.
			w.revive(0, 1, 2, 3, 4, 5, 6, 7)
			for _, list := range [][]int{{}, {2, 5}, {2, 5}} {
				w.db.lists(list...)
				w.lan.lists(list...)
				w.after(20 * time.Minute)
			}
			w.expect("at rest", 2, 5)
			for _, source := range []*script{w.db, w.lan} {
				source.parts(registry.Deregistered, 2, 5)
				source.parts(registry.Deregistered, 5)
			}
			w.after(time.Minute)
			if e := w.Explain("auth"); len(e) != 0 {
				t.Errorf("seed %d: left behind: %+v", seed, e)
			}
		})
	}
}

func randomStep(w *world, r *rand.Rand) {
	var list []int
	for n := range 8 {
		if r.IntN(2) == 0 {
			list = append(list, n)
		}
	}
	source := []*script{w.db, w.lan}[r.IntN(2)]
	who := r.IntN(8)
	switch r.IntN(8) {
	case 0:
		source.lost()
	case 1, 2:
		source.lists(list...)
	case 3:
		list = slices.DeleteFunc(list, func(n int) bool { return n == who })
		source.parts(registry.DepartureKind(1+r.IntN(3)), who, list...)
	case 4:
		w.kill([]error{nil, errRefused, errCut}[r.IntN(3)], who)
	case 5:
		time.Sleep(time.Duration(r.Int64N(int64(5 * time.Second))))
	default:
		e, err := w.Resolve("auth").Pick(w.t.Context(), &rpc.Call{})
		if err != nil {
			return
		}
		switch r.IntN(4) {
		case 0:
			w.Leaving(e)
		case 1:
			w.Up(e)
		default:
			w.Down(e, r.IntN(2) == 0, errRefused)
		}
	}
}

func checkUnion(t *testing.T, s *service, seed uint64, step int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.u
	if !slices.IsSortedFunc(u.order, func(a, b *member) int { return a.in.Compare(b.in) }) {
		t.Fatalf("seed %d step %d: the order is out of order", seed, step)
	}
	if n := u.members.ItemCount(); n != len(u.order) {
		t.Fatalf("seed %d step %d: %d members in the cache, %d in order", seed, step, n, len(u.order))
	}
	known := 0
	u.byEndpoint.Range(func(any, any) bool { known++; return true })
	if known != len(u.order) {
		t.Fatalf("seed %d step %d: %d endpoints for %d members", seed, step, known, len(u.order))
	}
	for _, m := range u.order {
		item, ok := u.members.Get(m.key())
		switch {
		case !ok || item != m:
			t.Fatalf("seed %d step %d: %s is not in the cache", seed, step, m.key())
		case m.sources() == 0 && m.guard == nil:
			t.Fatalf("seed %d step %d: %s is listed by nobody and not protected", seed, step, m.key())
		case m.sources() > 0 && m.guard != nil:
			t.Fatalf("seed %d step %d: %s is protected though it is listed", seed, step, m.key())
		}
	}
	for i, src := range u.sources {
		for j := range src.list {
			if m, _, ok := u.find(&src.list[j]); !ok || m.listed[i].in != &src.list[j] {
				t.Fatalf("seed %d step %d: %s lists %v, the union does not know", seed, step, src.name,
					src.list[j].ID())
			}
		}
	}
}
