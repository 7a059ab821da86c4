package sitekey

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestTextAndBack(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		k := New()
		text := k.Text()
		if len(text) != 60 || !strings.HasPrefix(text, "sk1-") {
			t.Fatalf("Text has %d characters, want 60 that begin with sk1-", len(text))
		}
		for _, form := range []string{text, strings.ToUpper(text), " \t" + text + "\r\n"} {
			back, err := Parse(form)
			if err != nil || back != k {
				t.Fatalf("Parse(Text) = %v, %v, want the same key", back, err)
			}
		}
		if seen[text] || seen[k.Fingerprint()] {
			t.Fatal("two keys or fingerprints are the same")
		}
		seen[text], seen[k.Fingerprint()] = true, true
	}
}

// TestTypingMistakes changes, drops, doubles and swaps every character.
func TestTypingMistakes(t *testing.T) {
	k := New()
	text := k.Text()
	try := func(what string, at int, changed string) {
		t.Helper()
		if changed == text {
			return
		}
		got, err := Parse(changed)
		if err == nil {
			t.Fatalf("%s at %d was taken, as %v", what, at, got)
		}
		if strings.Contains(err.Error(), changed[4:20]) || strings.Contains(err.Error(), text[4:20]) {
			t.Fatalf("the error shows the secret: %v", err)
		}
	}
	for i := len(Prefix); i < len(text); i++ {
		for _, c := range "ab7018-_ " {
			try("another character", i, text[:i]+string(c)+text[i+1:])
		}
		try("a lost character", i, text[:i]+text[i+1:])
		try("a doubled character", i, text[:i]+text[i:i+1]+text[i:])
		if i+1 < len(text) {
			try("swapped characters", i, text[:i]+text[i+1:i+2]+text[i:i+1]+text[i+2:])
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	k := New()
	for _, c := range []struct{ text, want string }{
		{"", "empty"},
		{"  ", "empty"},
		{"0123456789abcdef", "skerry key new"},
		{"sk2-" + k.Text()[4:], "skerry key new"},
		{k.Text()[:30], "26 letters and digits stand behind sk1-, a site key has 56"},
		{k.Text() + k.Text(), "two texts were joined"},
		{k.Text()[:10] + "1" + k.Text()[11:], "character 11 is none of a-z and 2-7"},
		{Prefix + encoding.EncodeToString(append(make([]byte, secretSize), zeroCheck()...)), "all zeros"},
	} {
		_, err := Parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse of %d characters: %v, want an error with %q", len(c.text), err, c.want)
		}
	}
}

func zeroCheck() []byte {
	sum := checkOf([secretSize]byte{})
	return sum[:]
}

// TestUse compares with HKDF of RFC 5869 written out, so that another implementation can derive the
// same bytes.
func TestUse(t *testing.T) {
	k, err := Parse(fixed)
	if err != nil {
		t.Fatal(err)
	}
	extract := hmac.New(sha256.New, make([]byte, 32))
	extract.Write([]byte(fixed))
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write([]byte("skerry packets 1\x00plant\x01"))
	if want := expand.Sum(nil); !bytes.Equal(k.Use("packets", "plant"), want) {
		t.Errorf("Use = %x, want %x", k.Use("packets", "plant"), want)
	}
	others := [][]byte{
		k.Use("packets", "plant2"),
		k.Use("packet", "splant"),
		k.Use("site", "plant"),
		New().Use("packets", "plant"),
	}
	for i, o := range others {
		if bytes.Equal(o, k.Use("packets", "plant")) {
			t.Errorf("another use, cluster or key gives the same bytes (%d)", i)
		}
	}
	if got := k.Fingerprint(); got != fixedPrint {
		t.Errorf("Fingerprint = %q, want %q for ever", got, fixedPrint)
	}
}

const (
	fixed      = "sk1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypxurjq"
	fixedPrint = "ar26-f5ah"
)

func TestZeroKeyPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Use of the zero Key gives bytes that all know")
		}
	}()
	Key{}.Use("packets", "plant")
}

// TestNeverShown prints a key, and values that hold it, by every verb and
// encoder.
func TestNeverShown(t *testing.T) {
	k := New()
	type holder struct {
		Exported Key
		hidden   Key
		list     []Key
		byName   map[string]Key
		ring     *Ring
	}
	h := holder{k, k, []Key{k}, map[string]Key{"k": k}, NewRing(k)}
	raw, err := encoding.DecodeString(k.Text()[len(Prefix):])
	if err != nil {
		t.Fatal(err)
	}
	secret := raw[:secretSize]
	forms := []string{
		k.Text()[4:24], strings.ToUpper(k.Text()[4:24]), string(secret[:8]), fmt.Sprintf("%x", secret[:8]),
		fmt.Sprintf("%X", secret[:8]),
		strings.Trim(fmt.Sprint(secret[:4]),
			"[]"), strings.Trim(fmt.Sprintf("%#v", secret[:4]), "[]byte{}"), fmt.Sprintf("%x", k.Text()[4:12]),
	}
	var out strings.Builder
	for _, verb := range []string{
		"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%08b", "%p",
	} {
		for _, v := range []any{k, &k, h, &h, []Key{k}, map[Key]int{k: 1}, [1]Key{k}, []any{k}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("a key", "key", k, "holder", h, "pointer", &k)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("a key", "key", k, "holder", h)
	js, err := json.Marshal(map[string]any{"k": k, "h": h, "keys": map[Key]Key{k: k}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	for _, form := range forms {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret is shown, as %q", form)
		}
	}
	if !strings.Contains(fmt.Sprint(k), k.Fingerprint()) || !strings.Contains(out.String(), "key="+k.Fingerprint()) {
		t.Errorf("a key prints as %q, want its fingerprint %s", fmt.Sprint(k), k.Fingerprint())
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fixed)
	f.Add("sk1-")
	f.Add("\ufeffsk1-a\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := Parse(text)
		if err == nil && k.Text() != strings.ToLower(strings.TrimSpace(text)) {
			t.Errorf("%q was taken and is written %q", text, k.Text())
		}
	})
}
