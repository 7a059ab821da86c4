package registry_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skerry/skerry/registry"
)

// TestCompare: instances have the order of their IDs, although Compare makes no ID.
func TestCompare(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	list := make([]registry.Instance, 300)
	for i := range list {
		list[i] = registry.Instance{
			Service: pick("a", "ab", "b"),
			Version: pick("", "v1"),
			Port:    []int{80, 700, 7000, 7001}[rng.IntN(4)],
			Host: pick("10.0.0.1", "10.0.0.10", "10.0.0.1-a", "fe80::1", "fe80::10%eth0", "h",
				"a.very.long.name.of.a.host.that.needs.more.than.sixty.four.bytes.example"),
			Owner: registry.Owner{Epoch: rng.Int64N(2)},
		}
	}
	for _, a := range list {
		for _, b := range list {
			want := a.ID().Compare(b.ID())
			if got := registry.Compare(a, b); got != want {
				t.Fatalf("%v and %v: %d, want %d", a.ID(), b.ID(), got, want)
			}
			if a.Equal(b) != (want == 0) {
				t.Fatalf("%v and %v: equal %t", a.ID(), b.ID(), a.Equal(b))
			}
		}
	}
	slices.SortFunc(list, registry.Compare)
	if n := testing.AllocsPerRun(100, func() { list[0].Compare(&list[40]) }); n != 0 {
		t.Errorf("a comparison allocates %v times", n)
	}
}
