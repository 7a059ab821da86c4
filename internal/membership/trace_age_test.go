package membership

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

func TestAgesAreCountedFromTheRulesThatCameNext(t *testing.T) {
	var a ages
	begun := time.Now()
	for n := range uint64(keptAges + 10) {
		a.note(rollout.Generation{N: n + 1}, begun.Add(time.Duration(n)*time.Second))
		a.note(rollout.Generation{N: n + 1}, begun.Add(time.Hour)) // no news
	}
	const last = keptAges + 10
	held := []rollout.Inflight{{Generation: rollout.Generation{N: last}}, {Generation: rollout.Generation{N: last - 1}},
		{Generation: rollout.Generation{N: 1}}}
	a.fill(held, begun.Add((last+9)*time.Second))
	if held[0].For != 0 || held[1].For != 10*time.Second || held[2].For != (keptAges+9)*time.Second {
		t.Errorf("%v, %v, %v", held[0].For, held[1].For, held[2].For)
	}
}
