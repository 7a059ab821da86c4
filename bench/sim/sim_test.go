package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEventsRunInOrder(t *testing.T) {
	var c Clock
	var ran []time.Duration
	for _, at := range []time.Duration{3, 1, 2} {
		c.At(at, func() {
			ran = append(ran, c.Now())
			c.After(10, func() { ran = append(ran, c.Now()) })
		})
	}
	c.Run(12, func() bool { return false })
	if !slices.Equal(ran, []time.Duration{1, 2, 3, 11, 12}) {
		t.Error(ran)
	}
}

func TestGraphsHaveNoCycles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		g := ScaleFree(rng, 16)
		for i, out := range g.Out {
			for _, to := range out {
				if g.Reaches(to, i) || !g.Reaches(i, to) || g.Steps(i, to) < 1 {
					t.Fatalf("%v: %d calls %d", g.Out, i, to)
				}
			}
		}
	}
}

func TestEveryCallIsAnsweredInTheEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	chance := Site
	chance.Lost = 0.9
	for range 50 {
		call := chance.Request(rng, Portal(), 0)
		if n := len(call.Attempts); n > maxAttempts || call.Attempts[n-1].LostFor != 0 {
			t.Fatalf("%d attempts, the last lost for %v", n, call.Attempts[n-1].LostFor)
		}
	}
}
