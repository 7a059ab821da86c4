package operatorkey

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/skerry/skerry/internal/sshsig"
)

// Breakglass is the name of the envelope's key in the file of operators.
const Breakglass = "breakglass"

// An envelope's line is 30 random bytes and 20 bits of check sum, in an
// alphabet without letters that look like digits.
const (
	paperSize    = 30
	paperLetters = 48
	checkLetters = 4
	alphabet     = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

var paper = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// NewEnvelope makes a key for paper: its line in groups of four, and its public
// half for the file of operators.
func NewEnvelope() (line string, public sshsig.PublicKey) {
	var secret [paperSize]byte
	rand.Read(secret[:]) // ends the program when the system has no randomness
	text := paper.EncodeToString(secret[:])
	text += checkOf(text)
	var groups []string
	for ; text != ""; text = text[4:] {
		groups = append(groups, text[:4])
	}
	private := keyOf(secret[:])
	return strings.Join(groups, "-"), sshsig.PublicKey(private.Public().(ed25519.PublicKey))
}

// ParseEnvelope reads the line in upper or lower case, with any blanks and dashes. O and I, L are
// read as the digits that look like them. No error quotes the line.
func ParseEnvelope(line string) (ed25519.PrivateKey, error) {
	var b strings.Builder
	for i, r := range line {
		switch {
		case strings.ContainsRune(" \t\r\n-–—_.\u00a0\ufeff", r):
			continue
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		}
		switch r {
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if !strings.ContainsRune(alphabet, r) {
			return nil, fmt.Errorf("character %d stands in no line of an envelope; it is made of digits and letters "+
				"without I, L, O and U", i+1)
		}
		if b.Len() == paperLetters+checkLetters {
			return nil, fmt.Errorf("the line has more than %d letters and digits", paperLetters+checkLetters)
		}
		b.WriteRune(r)
	}
	text := b.String()
	if len(text) != paperLetters+checkLetters {
		return nil, fmt.Errorf("the line has %d letters and digits, the one in an envelope has %d: %d are missing",
			len(text), paperLetters+checkLetters, paperLetters+checkLetters-len(text))
	}
	text, check := text[:paperLetters], text[paperLetters:]
	if check != checkOf(text) {
		return nil, errors.New("the check sum of the line is wrong: a letter was mistyped; compare the groups of " +
			"four one by one")
	}
	secret, err := paper.DecodeString(text)
	if err != nil {
		return nil, errors.New("this is no line of an envelope")
	}
	return keyOf(secret), nil
}

func checkOf(text string) string {
	sum := sha256.Sum256([]byte("skerry envelope 1\x00" + text))
	return paper.EncodeToString(sum[:])[:checkLetters]
}

// keyOf stretches the 240 bits of the paper to a seed of Ed25519.
func keyOf(secret []byte) ed25519.PrivateKey {
	seed, err := hkdf.Key(sha256.New, secret, nil, "skerry envelope 1", ed25519.SeedSize)
	if err != nil {
		panic("operatorkey: " + err.Error()) // HKDF allows this constant length
	}
	return ed25519.NewKeyFromSeed(seed)
}
