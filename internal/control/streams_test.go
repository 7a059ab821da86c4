package control

import (
	"fmt"
	"testing"

	"github.com/skerry/skerry/internal/wire"
)

// TestLiesAboutStreams: of the streams that a process tells, those are taken that can be.
func TestLiesAboutStreams(t *testing.T) {
	ended := map[string]int64{"\x1b[201~": 1, "ok": -4}
	for i := range 1000 {
		ended[fmt.Sprint("code-", i)] = 1
	}
	w := &wire.Streams{Streams: []*wire.StreamCount{nil, {Name: "db\nreboot"}, {Name: "db", Peer: "\u202e"},
		{Name: "db", Method: "watch", Mode: "server", Open: -1, Opened: -2, Sent: -3, Ended: ended}}}
	for range 2 * streamRows {
		w.Streams = append(w.Streams, &wire.StreamCount{Name: "db"})
	}
	var s Streams
	s.add("ops-1/1/a", w)
	if len(s.Counts) != streamRows-3 || s.KindsLeft != streamRows+4+3 {
		t.Fatalf("%d are taken, %d left out", len(s.Counts), s.KindsLeft)
	}
	c := s.Counts[0]
	if c.Open != 0 || c.Opened != 0 || c.Sent != 0 || len(c.Ended) > mostKinds || c.Ended["ok"] != 0 {
		t.Errorf("%+v", c)
	}
	for code := range c.Ended {
		if code == "\x1b[201~" {
			t.Errorf("%q is shown", code)
		}
	}
}
