package broadcast

import (
	"bytes"
	"testing"
	"time"
)

// TestDedup: a copy is recognised for a second, another datagram never, and no flood makes the
// memory grow.
func TestDedup(t *testing.T) {
	c, now := newCodec("site", ring("secret")), time.Unix(1_700_000_000, 0)
	sealed := func(seq uint64) []byte {
		p := samples()[0]
		p.seq = seq
		data, err := c.seal(p)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var e dedup
	data := sealed(1)
	if e.seen(data, now) || e.seen(nil, now) {
		t.Error("heard before it came")
	}
	e.add(data, sender, now)
	if !e.seen(bytes.Clone(data), now.Add(dedupLife/2)) || e.sender(data) != sender {
		t.Error("a copy is not known")
	}
	if e.seen(sealed(2), now) {
		t.Error("another datagram is taken for a copy")
	}
	if e.seen(data, now.Add(4*dedupLife)) {
		t.Error("a recording is taken for a copy")
	}
	for seq := range uint64(5 * dedupMost) {
		e.add(sealed(seq), sender, now)
	}
	if n := len(e.now) + len(e.last); n > 2*dedupMost {
		t.Errorf("%d datagrams are remembered", n)
	}
}
