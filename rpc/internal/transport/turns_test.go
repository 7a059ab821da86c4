package transport

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The addresses take turns.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := Turns{free: 1}
		many, one := netip.MustParseAddr("10.0.0.66"), netip.MustParseAddr("10.0.0.1")
		turns.acquire(many, nil)
		var before, after atomic.Int64
		var came atomic.Bool
		for range 100 {
			go func() {
				turns.acquire(many, nil)
				if came.Load() {
					after.Add(1)
				} else {
					before.Add(1)
				}
				time.Sleep(time.Second)
				turns.release()
			}()
		}
		synctest.Wait()
		go func() {
			turns.acquire(one, nil)
			came.Store(true)
			turns.release()
		}()
		gone := make(chan struct{})
		close(gone)
		if turns.acquire(one, gone) {
			t.Error("a connection that is closed gets a turn")
		}
		synctest.Wait()
		turns.release()
		time.Sleep(200 * time.Second)
		if before.Load() > 1 || after.Load() < 99 {
			t.Errorf("%d of the crowd were before the other address, %d after", before.Load(), after.Load())
		}
		turns.mu.Lock()
		defer turns.mu.Unlock()
		if turns.free != 1 || turns.order.Len() != 0 || len(turns.waiting) != 0 {
			t.Errorf("left: %d free, %d lines", turns.free, turns.order.Len())
		}
	})
}
