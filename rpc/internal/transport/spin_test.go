package transport

import (
	"testing"
	"testing/synctest"
	"time"
)

// wait plays a reader's wait for n bytes, which a spinning reader gets after one time and a
// sleeping one after another. It reports whether the reader spun.
func (s *spin) wait(spun, slept time.Duration, n int) (on bool) {
	begin := time.Now()
	for s.again() {
		on = true
		if time.Sleep(time.Microsecond); time.Since(begin) >= spun {
			s.came(time.Now(), n)
			return true
		}
	}
	time.Sleep(slept)
	s.came(time.Now(), n)
	return on
}

// A reader spins only while that pays.
func TestSpin(t *testing.T) {
	const rounds = 1000
	for _, c := range []struct {
		name        string
		spun, slept time.Duration // until something comes
		bytes       int
		least, most int // of a thousand waits spun
	}{
		{"a lone caller", 10 * time.Microsecond, 60 * time.Microsecond, 1000, 980, 999},
		{"a process that calls itself", 60 * time.Microsecond, 20 * time.Microsecond, 1000, 1, 50},
		{"a peer that takes longer", 120 * time.Microsecond, 120 * time.Microsecond, 1000, 0, 130},
		{"now and then", 5 * time.Millisecond, 5 * time.Millisecond, 1000, 0, 0},
		{"many callers", 10 * time.Microsecond, 60 * time.Microsecond, spinBytes + 1, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(*testing.T) {
				s, n := newSpin(), 0
				s.able = true
				for range rounds {
					if s.wait(c.spun, c.slept, c.bytes) {
						n++
					}
				}
				if n < c.least || n > c.most {
					t.Errorf("spun %d times in %d waits, want %d to %d", n, rounds, c.least, c.most)
				}
				if spinning.Load() {
					t.Error("it still has the turn")
				}
			})
		})
	}
}

// One reader of a process spins at a time, and none with one processor. A reader that spins in vain
// stops soon.
func TestSpinTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, lame := newSpin(), newSpin(), newSpin()
		first.able, second.able, lame.able = true, true, false
		for range 2 * spinCost {
			for _, s := range []*spin{&first, &second, &lame} {
				s.again()
				time.Sleep(20 * time.Microsecond)
				s.came(time.Now(), 100)
			}
		}
		if !first.again() || second.again() || lame.again() {
			t.Error("want the first to spin, and no other")
		}
		time.Sleep(spinFor)
		if first.again() {
			t.Error("spins beyond its time")
		}
		if second.came(time.Now(), 100); !second.again() {
			t.Error("the turn was not given on")
		}
		second.came(time.Now(), 100)
	})
}
