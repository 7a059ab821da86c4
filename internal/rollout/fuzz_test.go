package rollout

import (
	"testing"
)

// FuzzRecord feeds arbitrary bytes. A record that can be opened keeps its bytes
// when it is stored and passed on, and can be read again.
func FuzzRecord(f *testing.F) {
	one, _ := Entry{Cluster: "shop", Generation: Generation{N: 1}, Rules: map[string]Rule{"auth": {Version: "v1"}},
		Step: "<&>"}.Seal()
	f.Add(one.Record().Marshal())
	f.Add(one.WithProof(Proof{Kind: SSHProof, Signature: []byte("s"), Key: []byte("k")}).Record().Marshal())
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
		if g := e.Generation; g.N == 0 || g.N >= maxNumber || len(r.Body) > maxEntry {
			t.Fatalf("generation %v, %d bytes", g, len(r.Body))
		}
		sealed, err := e.Seal() // the entry as this version writes it
		if err != nil {
			return // its unknown fields may have made it smaller
		}
		if sealed.Generation != e.Generation || len(sealed.Rules) != len(e.Rules) || len(sealed.Proofs()) > 0 {
			t.Fatalf("%v was sealed as %v", e.Generation, sealed.Generation)
		}
	})
}
