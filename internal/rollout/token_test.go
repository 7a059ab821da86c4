package rollout

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestTokenSurvivesTheTrip(t *testing.T) {
	for _, want := range []Token{
		{},
		{Generation: Generation{N: 1}, Seed: 1},
		{Generation: Generation{3, 1 << 40}, Entry: 0xfeedbeef, Seed: ^uint64(0)},
		{Generation: Generation{N: 17}, Seed: SeedOf("alice"), Mark: "preview-7"},
		{Generation: Generation{N: 17}, Mark: strings.Repeat("m", maxMark)},
	} {
		got, err := ParseToken(want.String())
		if err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
		if got, err := ParseRaw(string(want.AppendRaw(nil))); err != nil || got != want {
			t.Errorf("raw %+v came back as %+v, %v", want, got, err)
		}
	}
}

func TestTokenIsShort(t *testing.T) {
	if s := (Token{Generation: Generation{N: 100_000}, Seed: SeedOf("x")}).String(); len(s) > 24 {
		t.Errorf("%q has %d bytes, want at most 24", s, len(s))
	}
}

func TestRawTokenIsShort(t *testing.T) {
	if raw := (Token{Generation: Generation{N: 10_000}, Seed: SeedOf("x")}).AppendRaw(nil); len(raw) > 16 {
		t.Errorf("%x has %d bytes, want at most 16", raw, len(raw))
	}
}

// TestOldToken: a token of skerry before 0.2, made by commit 09c6cb7
// (scripts/record-before), is distinguished from a damaged one.
func TestOldToken(t *testing.T) {
	text, err := os.ReadFile("testdata/token-before-0.2")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseToken(strings.TrimSpace(string(text))); !errors.Is(err, ErrOldToken) ||
		!errors.Is(err, errToken) || got != (Token{}) {
		t.Errorf("%q is %+v, %v", text, got, err)
	}
}

func TestMalformedTokens(t *testing.T) {
	for _, s := range []string{"", "!", "AQ", "AgEBAAAAAAAAAAA", strings.Repeat("A", 200), Token{}.String()[:16],
		(Token{}).String() + strings.Repeat("A", 90)} {
		if tok, err := ParseToken(s); !errors.Is(err, errToken) {
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
