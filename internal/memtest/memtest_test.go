package memtest

import (
	"runtime"
	"testing"
)

var kept [][]byte

func TestAllocated(t *testing.T) {
	calls := 0
	took := Allocated(func() {
		calls++
		kept = append(kept, make([]byte, 1<<20))
		if calls == 1 {
			kept = append(kept, make([]byte, 8<<20)) // something else in the process
		}
	})
	if took < 1<<20 || took > 2<<20 || calls != runs {
		t.Errorf("%d bytes in %d runs", took, calls)
	}
	kept = nil
}

func TestHeld(t *testing.T) {
	before := Held()
	block := make([]byte, 32<<20)
	if held := Held() - before; held < 31<<20 {
		t.Errorf("%d bytes more are held", held)
	}
	runtime.KeepAlive(block)
	if held := Held() - before; held > 8<<20 {
		t.Errorf("%d bytes are held afterwards", held)
	}
}
