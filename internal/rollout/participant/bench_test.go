package participant

import (
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// BenchmarkCall measures what a call pays: the caller's token and the version
// for it; at the callee, parsing and checking the token and counting the span.
// No release is under way. The trace is not counted, as it is part of the
// request.
func BenchmarkCall(b *testing.B) {
	a, err := New(Config{Process: "host/1/a"})
	if err != nil {
		b.Fatal(err)
	}
	for range 20 {
		rules := map[string]rollout.Rule{}
		for s := range 10 {
			rules[string(rune('a'+s))] = rollout.Rule{Version: "v1"}
		}
		if err := a.Learn(a.Log().Next("r", rules)); err != nil {
			b.Fatal(err)
		}
	}
	root, origin := a.Begin("job", 7, ""), a.Origin("c.get", "c/v1")
	defer root.End()
	var hop Trace
	b.ReportAllocs()
	for b.Loop() {
		token, raw, _ := root.Send("db")
		if _, _, _, err := a.Log().Route("c", token); err != nil {
			b.Fatal(err)
		}
		token, err := rollout.ParseRaw(raw)
		if err != nil || a.Log().Admit("c", "v1", token) != nil {
			b.Fatal(err)
		}
		origin.Join(&hop, token, raw, "")
		hop.End()
		root.Returned(true)
	}
}
