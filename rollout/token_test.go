package rollout

import (
	"errors"
	"strings"
	"testing"
)

func TestTokenSurvivesTheTrip(t *testing.T) {
	for _, want := range []Token{
		{},
		{Generation: Generation{N: 1}, Seed: 1},
		{Generation: Generation{3, 1 << 40}, Seed: ^uint64(0)},
		{Generation: Generation{N: 17}, Seed: SeedOf("alice"), Mark: "preview-7"},
		{Generation: Generation{N: 17}, Mark: strings.Repeat("m", MaxMark)},
	} {
		got, err := ParseToken(want.String())
		if err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
	}
}

func TestTokenIsShort(t *testing.T) {
	if s := (Token{Generation: Generation{N: 100_000}, Seed: SeedOf("x")}).String(); len(s) > 20 {
		t.Errorf("%q has %d bytes, want at most 20", s, len(s))
	}
}

func TestMalformedTokens(t *testing.T) {
	for _, s := range []string{"", "!", "AQ", "AgEBAAAAAAAAAAA", strings.Repeat("A", 200), Token{}.String()[:10],
		(Token{}).String() + strings.Repeat("A", 90)} {
		if tok, err := ParseToken(s); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %+v, %v; want ErrToken", s, tok, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("")
	f.Add(Token{Generation: Generation{1, 300}, Seed: 9, Mark: "m"}.String())
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := ParseToken(s)
		if err != nil {
			return
		}
		again, err := ParseToken(tok.String())
		if err != nil || again != tok {
			t.Errorf("%q: %+v, then %+v, %v", s, tok, again, err)
		}
	})
}

// A call pays for reading the token, asking for a version, counting the span
// and writing the token again.
func BenchmarkCall(b *testing.B) {
	log := &Log{}
	for range 20 {
		rules := map[string]Rule{}
		for s := range 10 {
			rules[string(rune('a'+s))] = Rule{Version: "v1", Split: []Share{{"v2", "r", 5000}}}
		}
		log, _ = log.Apply(log.Next("r", rules))
	}
	header := Token{Generation: log.Last(), Seed: 7}.String()
	var ledger Ledger
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		tok, err := ParseToken(header)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := log.Resolve("c", tok); err != nil {
			b.Fatal(err)
		}
		span := ledger.Begin(tok.Generation, "c.get")
		buf = tok.Append(buf[:0])
		span.Release()
	}
}
