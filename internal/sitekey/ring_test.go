package sitekey

import (
	"slices"
	"sync"
	"testing"
)

func TestRing(t *testing.T) {
	a, b := New(), New()
	r := NewRing()
	if _, ok := r.Signer(); ok || len(r.Keys()) != 0 {
		t.Error("an empty ring signs")
	}
	changed := r.Changed()
	r.Set([]Key{a, {}, b, a})
	select {
	case <-changed:
	default:
		t.Error("a change is not told")
	}
	if got := r.Keys(); !slices.Equal(got, []Key{a, b}) {
		t.Errorf("Keys = %v, want %v without the zero and the double one", got, []Key{a, b})
	}
	if k, ok := r.Signer(); !ok || k != a {
		t.Errorf("Signer = %v, want the first, %v", k, a)
	}
	changed, before := r.Changed(), r.Keys()
	r.Set([]Key{a, b})
	select {
	case <-changed:
		t.Error("the same keys again are told as a change")
	default:
	}
	given := []Key{b, a}
	r.Set(given)
	given[0] = New()
	if got := r.Keys(); got[0] != b {
		t.Error("the caller's list and the ring's are one")
	}
	if !slices.Equal(before, []Key{a, b}) {
		t.Error("a change altered an earlier snapshot")
	}
	<-changed
}

// TestRingMissesNoChange runs readers that wait by Changed until they see the last of many changes.
func TestRingMissesNoChange(t *testing.T) {
	r := NewRing(New())
	last := New()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				changed := r.Changed()
				if slices.Contains(r.Keys(), last) {
					return
				}
				<-changed
			}
		})
	}
	for range 4 {
		all.Go(func() {
			for range 200 {
				r.Set([]Key{New(), last}[:1])
			}
			r.Set([]Key{New(), last})
		})
	}
	all.Wait()
}
