package rollout

import (
	"errors"
	"strings"
	"testing"
)

func TestWhatOthersChooseIsBounded(t *testing.T) {
	for name, body := range map[string]string{
		"generation 0":       `{"generation":{"Timeline":0,"N":0}}`,
		"a number too large": `{"generation":{"Timeline":0,"N":4611686018427387904}}`,
		"over 64 bits":       `{"generation":{"Timeline":0,"N":18446744073709551616}}`,
		"a timeline":         `{"generation":{"Timeline":2147483648,"N":1}}`,
		"many ends":          `{"generation":{"N":1},"ends":[{}` + strings.Repeat(`,{}`, maxEnds) + `]}`,
		"a long body":        `{"generation":{"N":1},"x":"` + strings.Repeat("x", maxEntry) + `"}`,
		"deep":               `{"generation":{"N":1},"x":` + strings.Repeat("[", 100_000) + `}`,
		"more than one":      `{"generation":{"N":1}}{}`,
		"no UTF-8":           "{\"generation\":{\"N\":1},\"release\":\"\xff\"}",
	} {
		if e, err := (Record{Body: bodyFormat + body}).Open(); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v, %v", name, e.Generation, err)
		}
	}
	good := bodyFormat + `{"generation":{"N":1}}`
	for name, r := range map[string]Record{
		"many proofs":      {Body: good, Proofs: make([]Proof, maxProofs+1)},
		"a long signature": {Body: good, Proofs: []Proof{{Signature: make([]byte, maxProof+1)}}},
		"a long key":       {Body: good, Proofs: []Proof{{Key: make([]byte, maxProof+1)}}},
		"no format":        {Body: `{"generation":{"N":1}}`},
	} {
		if _, err := r.Open(); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for g, want := range map[Generation]error{
		{0, 2}: nil, {0, 3}: ErrGap, {0, 1}: ErrFork, {0, maxJump + 9}: ErrGap,
		{1, 2}: nil, {1, maxJump + 1}: nil, {1, maxJump + 2}: ErrEntry, {1, 1}: ErrFork,
		{maxJump, 2}: nil, {maxJump + 1, 2}: ErrEntry, {0, maxNumber}: ErrEntry, {1<<32 - 1, 1<<64 - 1}: ErrEntry,
	} {
		if err := (Entry{Generation: g, Previous: "x"}).Follows(Generation{N: 1}, "x"); !errors.Is(err, want) {
			t.Errorf("generation %v after 1: %v, want %v", g, err, want)
		}
	}
}

// Every record at the size limit can be read again, whatever its text.
func TestEveryRecordThatIsKeptCanBeRead(t *testing.T) {
	for _, char := range []string{"x", `\"`, `\\`, "<", "&", "\u2028", "ß"} {
		body := bodyFormat + `{"generation":{"N":1},"x":"` + strings.Repeat(char, (maxEntry-100)/len(char)) + `"}`
		r := Record{Body: body}
		for range maxProofs {
			r.Proofs = append(r.Proofs, Proof{Kind: 1 << 31, Signature: make([]byte, maxProof)})
		}
		e, err := r.Open()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseRecord(e.Record().Marshal())
		if err != nil || back.Body != body || len(back.Proofs) != maxProofs {
			t.Errorf("%q: %v", char, err)
		}
	}
	if _, err := ParseRecord(make([]byte, maxRecord+1)); !errors.Is(err, ErrEntry) {
		t.Errorf("too long: %v", err)
	}
	if _, err := ParseRecord([]byte("{\"body\":\"\xff\"}")); !errors.Is(err, ErrEntry) {
		t.Errorf("no UTF-8: %v", err)
	}
}

func TestTextThatIsNoUTF8IsNotSealed(t *testing.T) {
	bad := "a\xffb"
	for at, e := range map[string]Entry{
		"entry.release":        {Release: bad},
		"entry.by":             {By: bad},
		"entry.needs":          {Needs: []string{bad}},
		"entry.session.reason": {Session: &Release{Reason: bad}},
		"entry.rules: a key":   {Rules: map[string]Rule{bad: {Version: "v1"}}},
		"entry.rules.auth":     {Rules: map[string]Rule{"auth": {Version: "v1", Marks: map[string]string{"m": bad}}}},
	} {
		e.Generation.N = 1
		if _, err := e.Seal(); !errors.Is(err, ErrEntry) || !strings.Contains(err.Error(), at) {
			t.Errorf("%s: %v", at, err)
		}
	}
}
