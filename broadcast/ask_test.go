package broadcast

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

// A service that is watched while others are being asked for is asked for at
// once, and all of them three times.
func TestWatchedInTheMidstOfQueries(t *testing.T) {
	c := newCore("test", nil, registry.NewOwner(), time.Minute, rand.New(rand.NewPCG(1, 2)))
	now := time.Now()
	c.want(now, []string{"auth"}, false)
	c.want(now.Add(time.Millisecond), []string{"auth", "db"}, false)
	if sent := len(c.outbox); sent != 2 {
		t.Fatalf("%d queries sent, want one for each service", sent)
	}
	if c.asks["auth"] != burst-1 || c.asks["db"] != burst-1 {
		t.Errorf("questions left: %v, want two of each", c.asks)
	}
	for range 5 {
		now = now.Add(burstGap)
		c.wake(now)
	}
	if sent := len(c.outbox); sent != 4 || len(c.asks) != 0 {
		t.Errorf("%d queries sent, left %v; want two more, of both services", sent, c.asks)
	}
}
