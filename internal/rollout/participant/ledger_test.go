package participant

import (
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// What a status page or a repeated question has read must still be in the answer
// to the next round.
func TestAQuestionBetweenRoundsHidesNothing(t *testing.T) {
	var l ledger
	old := rollout.Generation{N: 1}
	ask := func(round uint64) bool {
		held, _, _ := l.report(round, rollout.Generation{N: 2})
		return len(held) == 1 && held[0].Generation == old
	}
	ask(1)
	span := l.Begin(old, "portal.get")
	span.release()
	if !ask(0) || !ask(2) || ask(3) {
		t.Error("a span that ended between two rounds must be seen by the second, and by no later one")
	}
}
