package operatorkey

import (
	"crypto/ed25519"
	"regexp"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/sshsig"
)

func TestEnvelope(t *testing.T) {
	form := regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){12}[0-9A-HJKMNP-TV-Z]{4}$`)
	for range 50 {
		line, public := NewEnvelope()
		if !form.MatchString(line) {
			t.Fatalf("the line has %d characters, want 13 groups of four", len(line))
		}
		plain := strings.ReplaceAll(line, "-", "")
		for name, typed := range map[string]string{
			"as it is": line, "without dashes": plain, "lower case": strings.ToLower(line),
			"blanks":                " " + strings.ReplaceAll(line, "-", "  ") + "\r\n",
			"letters for digits":    strings.NewReplacer("0", "O", "1", "l").Replace(line),
			"other letters for one": strings.NewReplacer("0", "o", "1", "I").Replace(line),
		} {
			private, err := ParseEnvelope(typed)
			if err != nil || sshsig.PublicKey(private.Public().(ed25519.PublicKey)) != public {
				t.Fatalf("%s: %v, or another key", name, err)
			}
		}
	}
}

func TestEnvelopeMistakes(t *testing.T) {
	line, _ := NewEnvelope()
	line = strings.ReplaceAll(line, "-", "")
	taken := 0
	try := func(typed string) {
		private, err := ParseEnvelope(typed)
		if typed == line {
			return
		}
		if err == nil || private != nil {
			taken++
		} else if strings.Contains(err.Error(), line[:8]) {
			t.Fatalf("the error shows the secret: %v", err)
		}
	}
	for i := range line {
		for _, c := range "0123456789ABCDEFGHJKMNPQRSTVWXYZU!é" {
			try(line[:i] + string(c) + line[i+1:])
		}
		try(line[:i] + line[i+1:])
		try(line[:i] + line[i:i+1] + line[i:])
		if i+1 < len(line) {
			try(line[:i] + line[i+1:i+2] + line[i:i+1] + line[i+2:])
		}
	}
	if taken > 1 { // of 1,900; a check of 20 bits lets one of 1,000,000 pass
		t.Errorf("%d mistakes were not noticed", taken)
	}
	for _, c := range []struct{ typed, want string }{
		{"", "has 0 letters"}, {line[:50], "2 are missing"}, {line + "0", "more than 52"},
		{strings.Repeat("-", 1<<16), "has 0 letters"}, {"U", "without I, L, O and U"},
	} {
		if _, err := ParseEnvelope(c.typed); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d characters: %v, want %q", len(c.typed), err, c.want)
		}
	}
}

// TestEnvelopeStays fixes the derivation from paper to key, as paper lasts longer than a version.
func TestEnvelopeStays(t *testing.T) {
	private, err := ParseEnvelope(oldLine)
	if err != nil {
		t.Fatal(err)
	}
	if got := sshsig.PublicKey(private.Public().(ed25519.PublicKey)).String(); got != oldKey {
		t.Errorf("the line gives the key %s, want %s", got, oldKey)
	}
}

const (
	oldLine = "T5W8-27XV-XC4K-50NZ-SK95-T292-493X-QVVV-BYN0-V0YF-PH12-KW0F-ZKWB"
	oldKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGi7hp3YbmgdOAU0HNlOjomDOVNKULRHYd9ver83OI1D"
)

func FuzzParseEnvelope(f *testing.F) {
	f.Add(oldLine)
	f.Add(strings.ToLower(oldLine))
	f.Fuzz(func(t *testing.T, line string) {
		if private, err := ParseEnvelope(line); (err == nil) != (len(private) == ed25519.PrivateKeySize) {
			t.Errorf("%d bytes of key and %v", len(private), err)
		}
	})
}
