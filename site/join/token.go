package join

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A token is 23 random letters of 5 bits each, and two that check them. The alphabet has no letters that look like
// digits.
const (
	randomLetters = 23
	checkLetters  = 2
	groupLetters  = 5
	alphabet      = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// token is the secret of one invitation.
type token struct{ letters string }

func newToken() token {
	var raw [randomLetters]byte
	rand.Read(raw[:]) // ends the program when the system has no randomness
	var b strings.Builder
	for _, x := range raw {
		b.WriteByte(alphabet[x%32])
	}
	return token{b.String() + checkOf(b.String())}
}

func checkOf(letters string) string {
	sum := sha256.Sum256([]byte("skerry join check " + letters))
	return string([]byte{alphabet[sum[0]%32], alphabet[sum[1]%32]})
}

// parseToken reads a token in upper or lower case, with any blanks and dashes. No error quotes it.
func parseToken(text string) (token, error) {
	var b strings.Builder
	for i, r := range []rune(strings.ToUpper(text)) {
		if strings.ContainsRune(" \t\r\n-", r) {
			continue
		}
		switch r {
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if !strings.ContainsRune(alphabet, r) {
			return token{}, fmt.Errorf("character %d stands in no token; one is made of digits and letters without "+
				"I, L, O and U", i+1)
		}
		b.WriteRune(r)
	}
	letters := b.String()
	if len(letters) != randomLetters+checkLetters {
		return token{}, fmt.Errorf("the token has %d letters and digits, not %d", len(letters),
			randomLetters+checkLetters)
	}
	if checkOf(letters[:randomLetters]) != letters[randomLetters:] {
		return token{}, errors.New("a letter of the token is wrong; compare it with the screen of skerry site invite")
	}
	return token{letters}, nil
}

// String is the token in groups, for people.
func (t token) String() string {
	var groups []string
	for i := 0; i < len(t.letters); i += groupLetters {
		groups = append(groups, t.letters[i:min(i+groupLetters, len(t.letters))])
	}
	return strings.Join(groups, "-")
}

// derive makes what one use of the token needs.
func (t token) derive(use string, size int) []byte {
	out, err := hkdf.Key(sha256.New, []byte(t.letters), nil, "skerry join "+use, size)
	if err != nil {
		panic(err) // of a size that is too large
	}
	return out
}

// name is what a handshake shows of the token, so that the inviter finds it.
func (t token) name() string { return hex.EncodeToString(t.derive("name", 16)) + ".skerry" }

// seed is that of the key with which both sides sign.
func (t token) seed() []byte { return t.derive("key", 32) }
