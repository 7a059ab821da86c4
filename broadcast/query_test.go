package broadcast

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

// Services that are wanted together are queried together. One that is wanted during other queries
// is queried soon, and all three times.
func TestWatchedInTheMidstOfQueries(t *testing.T) {
	c := newCore("test", nil, registry.NewOwner(), time.Minute, rand.New(rand.NewPCG(1, 2)))
	now := time.Now()
	after := func(d time.Duration, queries int, what string) {
		t.Helper()
		now = now.Add(d)
		c.wake(now)
		if sent := len(c.outbox); sent != queries {
			t.Fatalf("%s: %d queries sent, want %d", what, sent, queries)
		}
	}
	c.want(now, []string{"auth"}, false)
	c.want(now.Add(time.Millisecond), []string{"auth", "mail"}, false)
	after(askGather, 1, "two services")
	c.want(now, []string{"auth", "mail", "db"}, false)
	after(askGather, 2, "a third one")
	if c.asks["auth"] != burst-1 || c.asks["mail"] != burst-1 || c.asks["db"] != burst-1 {
		t.Errorf("questions left: %v, want two of each", c.asks)
	}
	for range 5 {
		now = now.Add(burstGap)
		c.wake(now)
	}
	after(0, 4, "all three times")
	if len(c.asks) != 0 {
		t.Errorf("left are %v", c.asks)
	}
}
