package participant

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// FuzzBring sends records to a process: lines of JSON, or instructions that
// modify known entries. Without a trusted key they never change what the
// process has applied or promised.
func FuzzBring(f *testing.F) {
	f.Add("")
	f.Add("0 1 2 3 4 5 6 7 8")
	f.Add("3 s3 e4 n5 p3 c4")
	f.Add("u4 d4 4 e4 e5")
	f.Add(`{"body":"skerry-entry 1\n{\"cluster\":\"shop\",\"generation\":{\"N\":3}}",` +
		`"proofs":[{"kind":1,"signature":"AAAA","key":"YW5u"}]}`)
	f.Fuzz(func(t *testing.T, brought string) {
		entries := signedChain(t, ann, ann, bob, eve)
		entries = append(entries, eve.entry(t, ending(t, entries[:1], entries[1])),
			ending(t, entries[:1], entries[1]).WithoutProofs())
		entries = append(entries, branch(t, entries[:1], "x", bob, eve)...)
		a := guarded(t, trusting(ann), Saved{}, nil)
		if err := a.Learn(entries[:2]...); err != nil {
			t.Fatal(err)
		}
		own := entries[1].Hash()
		var list []rollout.Entry
		for _, word := range strings.Split(brought, " ") {
			if e, ok := bent(entries, word); ok {
				list = append(list, e)
			}
		}
		left := 20
		_ = a.LearnWithin(func() bool { left--; return left >= 0 }, list...)
		for _, e := range list {
			_ = a.Promise(e, rollout.Undertaking{
				Command: e.Release, Proof: rollout.Proof{Kind: rollout.SSHProof, Key: []byte("ann")},
			})
			_ = a.Reject(e, rollout.Undertaking{})
			_ = a.Abandon(e, rollout.Undertaking{})
		}
		if a.Log().Hash() != own || len(a.Since(rollout.Generation{})) != 2 || a.Promised() != nil ||
			len(a.kept.barred) > 0 || a.Report(rollout.Question{}).Lacks != nil {
			t.Fatalf("%q: it is at %v, has promised %v and lacks %q",
				brought, a.Log().Last(), a.Promised(), a.Report(rollout.Question{}).Lacks)
		}
		if log, err := rollout.Replay(a.Since(rollout.Generation{})); err != nil || log.Hash() != own {
			t.Fatalf("%q: what it passes on is not what it has applied: %v", brought, err)
		}
	})
}

// bent returns the entry that a word of a fuzzed text names: a record in JSON,
// or the number of a known entry and a letter for the modification.
func bent(entries []rollout.Entry, word string) (e rollout.Entry, ok bool) {
	if strings.HasPrefix(word, "{") {
		r, err := rollout.ParseRecord([]byte(word))
		if err == nil {
			e, err = r.Open()
		}
		return e, err == nil
	}
	how := strings.TrimRight(word, "0123456789")
	var i int
	if json.Unmarshal([]byte(word[len(how):]), &i) != nil || i < 0 || i >= len(entries) {
		return e, false
	}
	e = entries[i]
	switch how {
	case "":
		return e, true
	case "s": // another entry's signature
		return e.WithoutProofs().WithProof(entries[0].Proofs()[0]), true
	case "u":
		return e.WithoutProofs(), true
	case "d": // more proofs than are allowed
		for range 11 {
			e = e.WithProof(rollout.Proof{Kind: rollout.SSHProof, Key: []byte("ann")})
		}
		return e, true
	case "e":
		e.Ends = []rollout.Position{entries[1].Position()}
	case "n":
		e.Needs = []string{"x"}
	case "p":
		e.Previous = entries[1].Hash()
		e.Generation = rollout.Generation{N: 3}
	case "c":
		e.Cluster = "x"
	default:
		return e, false
	}
	proofs := e.Proofs()
	e, err := e.Seal()
	for _, p := range proofs {
		e = e.WithProof(p)
	}
	return e, err == nil
}
