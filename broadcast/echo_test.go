package broadcast

import (
	"bytes"
	"testing"
	"time"
)

// TestEchoes: a copy is known for a second, another datagram never, and no
// flood makes the memory of them grow.
func TestEchoes(t *testing.T) {
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
	var e echoes
	data := sealed(1)
	if e.heard(data, now) || e.heard(nil, now) {
		t.Error("heard before it came")
	}
	e.note(data, sender, now)
	if !e.heard(bytes.Clone(data), now.Add(echoLife/2)) || e.sender(data) != sender {
		t.Error("a copy is not known")
	}
	if e.heard(sealed(2), now) {
		t.Error("another datagram is taken for a copy")
	}
	if e.heard(data, now.Add(4*echoLife)) {
		t.Error("a recording is taken for a copy")
	}
	for seq := range uint64(5 * echoMost) {
		e.note(sealed(seq), sender, now)
	}
	if n := len(e.now) + len(e.last); n > 2*echoMost {
		t.Errorf("%d datagrams are remembered", n)
	}
}
