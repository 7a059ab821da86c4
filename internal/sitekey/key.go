package sitekey

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unique"
)

// Prefix begins the text of every key.
const Prefix = "sk1-"

const (
	secretSize = 32
	checkSize  = 3                                // secret and check fill whole letters: every text has one form
	letters    = (secretSize + checkSize) * 8 / 5 // of the text behind the prefix
)

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Key is the secret of a site. The zero value means no key.
type Key struct {
	// The text. fmt calls no method of an unexported field: it finds a pointer here, and does not
	// follow it to a string.
	text unique.Handle[string]
}

// New returns a random key.
func New() Key {
	var secret [secretSize]byte
	rand.Read(secret[:]) // ends the program when the system has no randomness
	return keyOf(secret)
}

func keyOf(secret [secretSize]byte) Key {
	check := checkOf(secret)
	return Key{unique.Make(Prefix + encoding.EncodeToString(append(secret[:], check[:]...)))}
}

// Parse reads the text of a key, in upper or lower case. It ignores white space around the text.
func Parse(text string) (Key, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	rest, ok := strings.CutPrefix(text, Prefix)
	switch {
	case text == "":
		return Key{}, errors.New("the text is empty; a site key begins with " + Prefix)
	case !ok:
		return Key{}, errors.New("this is no site key: one begins with " + Prefix + "; make one with: skerry key new")
	case len(rest) != letters:
		return Key{}, fmt.Errorf("%d letters and digits stand behind %s, a site key has %d: the text was cut, or "+
			"two texts were joined",
			len(rest), Prefix, letters)
	}
	raw, err := encoding.DecodeString(rest)
	if at, bad := errors.AsType[base32.CorruptInputError](err); bad {
		return Key{}, fmt.Errorf("character %d is none of a-z and 2-7, of which a site key is made: it has a typing "+
			"mistake",
			len(Prefix)+int(at)+1)
	}
	if err != nil {
		return Key{}, errors.New("this is no site key: it has a typing mistake")
	}
	secret := [secretSize]byte(raw)
	if [checkSize]byte(raw[secretSize:]) != checkOf(secret) {
		return Key{}, errors.New("the check sum of the site key is wrong: a letter was changed, or two were " +
			"swapped; copy it again")
	}
	if secret == [secretSize]byte{} {
		return Key{}, errors.New("this site key is all zeros and no secret; make one with: skerry key new")
	}
	return keyOf(secret), nil
}

func checkOf(secret [secretSize]byte) [checkSize]byte {
	sum := sha256.Sum256(append([]byte("skerry site key 1\x00"), secret[:]...))
	return [checkSize]byte(sum[:])
}

// IsZero reports whether the value is the zero Key.
func (k Key) IsZero() bool { return k == Key{} }

// Text is the secret in the form that Parse reads.
func (k Key) Text() string { return k.text.Value() }

// Use derives the 32 bytes for one use in one cluster. With the zero Key it panics, because a
// signature by a publicly known key would go unnoticed.
func (k Key) Use(use, cluster string) []byte {
	if k.IsZero() {
		panic("sitekey: use of the zero Key")
	}
	out, err := hkdf.Key(sha256.New, []byte(k.Text()), nil, "skerry "+use+" 1\x00"+cluster, sha256.Size)
	if err != nil {
		panic("sitekey: " + err.Error()) // HKDF allows this constant length
	}
	return out
}

// Fingerprint names the key in outputs, such as "ab2d-x7kq". It is public: it is derived like any
// other use, and says nothing about the secret.
func (k Key) Fingerprint() string {
	if k.IsZero() {
		return "none"
	}
	text := encoding.EncodeToString(k.Use("fingerprint", "")[:5])
	return text[:4] + "-" + text[4:]
}

// String is the fingerprint.
func (k Key) String() string { return "site key " + k.Fingerprint() }

// GoString is the fingerprint.
func (k Key) GoString() string { return k.String() }

// Format writes the fingerprint for every verb.
func (k Key) Format(s fmt.State, _ rune) { io.WriteString(s, k.String()) }

// LogValue is the fingerprint.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.Fingerprint()) }

// MarshalText is the fingerprint, so that no encoder writes the secret.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.Fingerprint()), nil }
