package releases

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// TestStreamsAreNamed: the text about what holds a version back names the methods of its streams, as many as are
// allowed, and only counts them when the process says no more.
func TestStreamsAreNamed(t *testing.T) {
	text := func(methods ...string) string {
		d := &rollout.Drain{Service: "feed", Old: "v1"}
		d.Open(1, []string{"a"})
		d.Add(rollout.Report{Process: "a", Round: 1, Running: map[string]int{"feed/v1": 3},
			Streams:       map[string]int{"feed/v1": 2},
			StreamMethods: map[string][]string{"feed/v1": methods, "feed/v2": {"x"}}})
		blockers := d.Blockers()
		if len(blockers) != 1 {
			t.Fatalf("have %+v", blockers)
		}
		return HolderText(Holder{Service: "feed", Blocker: blockers[0]})
	}
	const rest = "; skerry release clean --cut-streams ends those that were told to move"
	for have, want := range map[string]string{
		text():                "executes 3 calls of feed, among them 2 streams" + rest,
		text("watch"):         "executes 3 calls of feed, among them 2 streams (watch)" + rest,
		text("talk", "watch"): "executes 3 calls of feed, among them 2 streams (talk, watch)" + rest,
	} {
		if have != want {
			t.Errorf("have %q\nwant %q", have, want)
		}
	}
	var many []string
	for n := range 50 {
		many = append(many, fmt.Sprintf("method%02d", n))
	}
	if n := strings.Count(text(many...), "method"); n != rollout.MostMethods {
		t.Errorf("%d methods are named", n)
	}
}
