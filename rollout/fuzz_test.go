package rollout

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRecord reads what comes from anywhere: what can be opened is kept and
// passed on byte for byte, and can always be read back.
func FuzzRecord(f *testing.F) {
	one, _ := Entry{Cluster: "shop", Generation: Generation{N: 1}, Rules: map[string]Rule{"auth": {Version: "v1"}}, Step: "<&>"}.Sealed()
	f.Add(one.Record().Marshal())
	f.Add(one.Proven(Proof{Kind: SSHProof, Signature: []byte("s"), Key: []byte("k")}).Record().Marshal())
	f.Add([]byte(`{"body":"skerry-entry 2\n{}"}`))
	f.Add([]byte(`{"body":"skerry-entry 1\n{\"generation\":{\"N\":1},\"x\":\"\\ud800\"}"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		e, err := r.Open()
		if err != nil {
			return
		}
		again, err := ParseRecord(e.Record().Marshal())
		if err != nil || again.Body != r.Body || len(again.Proofs) != len(r.Proofs) {
			t.Fatalf("%q came back as %q, %v", r.Body, again.Body, err)
		}
		back, err := again.Open()
		if err != nil || back.Hash() != e.Hash() || back.Position() != e.Position() {
			t.Fatalf("%v came back as %v, %v", e.Position(), back.Position(), err)
		}
		if g := e.Generation; g.N == 0 || g.N >= maxNumber || len(r.Body) > MaxEntry {
			t.Fatalf("generation %v, %d bytes", g, len(r.Body))
		}
		sealed, err := e.Sealed() // as this version would write it
		if err != nil {
			return // unknown fields may be what made it small
		}
		if sealed.Generation != e.Generation || len(sealed.Rules) != len(e.Rules) || len(sealed.Proofs()) > 0 {
			t.Fatalf("%v was sealed as %v", e.Generation, sealed.Generation)
		}
	})
}

// FuzzBring lets a stranger bring records to a process: lines of JSON, or
// instructions by which known entries are bent. Without a key he never changes
// what the process has applied or promised.
func FuzzBring(f *testing.F) {
	f.Add("")
	f.Add("0 1 2 3 4 5 6 7 8")
	f.Add("3 s3 e4 n5 p3 c4")
	f.Add("u4 d4 4 e4 e5")
	f.Add(`{"body":"skerry-entry 1\n{\"cluster\":\"shop\",\"generation\":{\"N\":3}}","proofs":[{"kind":1,"signature":"AAAA","key":"YW5u"}]}`)
	f.Fuzz(func(t *testing.T, brought string) {
		entries := signedChain(t, ann, ann, bob, eve)
		entries = append(entries, eve.entry(t, ending(t, entries[:1], entries[1])), ending(t, entries[:1], entries[1]).Bare())
		entries = append(entries, branch(t, entries[:1], "x", bob, eve)...)
		a := guarded(t, trusting(ann), Saved{}, nil)
		if err := a.Learn(entries[:2]...); err != nil {
			t.Fatal(err)
		}
		own := entries[1].Hash()
		var list []Entry
		for _, word := range strings.Split(brought, " ") {
			if e, ok := bent(entries, word); ok {
				list = append(list, e)
			}
		}
		left := 20
		_ = a.Bring(func() bool { left--; return left >= 0 }, list...)
		for _, e := range list {
			_ = a.Promise(e, Undertaking{Command: e.Release, Proof: Proof{Kind: SSHProof, Key: []byte("ann")}})
			_ = a.Bar(e, Undertaking{})
			_ = a.Abandon(e, Undertaking{})
		}
		if a.Log().Hash() != own || len(a.Since(Generation{})) != 2 || a.Promised() != nil || len(a.kept.barred) > 0 || a.Report(Question{}).Lacks != nil {
			t.Fatalf("%q: it is at %v, has promised %v and lacks %q", brought, a.Log().Last(), a.Promised(), a.Report(Question{}).Lacks)
		}
		if log, err := Replay(a.Since(Generation{})); err != nil || log.Hash() != own {
			t.Fatalf("%q: what it passes on is not what it has applied: %v", brought, err)
		}
	})
}

// bent is an entry that a word of a fuzzed text names: a record in JSON, or
// the number of a known one, with a letter for what is changed in it.
func bent(entries []Entry, word string) (e Entry, ok bool) {
	if strings.HasPrefix(word, "{") {
		r, err := ParseRecord([]byte(word))
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
	case "s": // the signature of another one
		return e.Bare().Proven(entries[0].Proofs()[0]), true
	case "u":
		return e.Bare(), true
	case "d": // many proofs
		for range maxProofs + 3 {
			e = e.Proven(Proof{Kind: SSHProof, Key: []byte("ann")})
		}
		return e, true
	case "e":
		e.Ends = []Position{entries[1].Position()}
	case "n":
		e.Needs = []string{"x"}
	case "p":
		e.Previous = entries[1].Hash()
		e.Generation = Generation{N: 3}
	case "c":
		e.Cluster = "x"
	default:
		return e, false
	}
	proofs := e.Proofs()
	e, err := e.Sealed()
	for _, p := range proofs {
		e = e.Proven(p)
	}
	return e, err == nil
}
