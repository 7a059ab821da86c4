package sshsig

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// PublicKey is an operator's Ed25519 key. It may be compared by ==.
type PublicKey [ed25519.PublicKeySize]byte

// maxKeyLine bounds one line with a public key and its comment.
const maxKeyLine = 4096

// ParsePublicKey reads the line of a .pub file, and returns its key and comment.
func ParsePublicKey(line string) (key PublicKey, comment string, err error) {
	if len(line) > maxKeyLine {
		return key, "", fmt.Errorf("%d bytes are too many for a public key", len(line))
	}
	words := strings.Fields(strings.TrimPrefix(line, "\ufeff"))
	switch {
	case strings.Contains(line, "PRIVATE KEY"):
		return key, "", errors.New("this is a private key, which stays where it is; the public one is in the file " +
			"with .pub at its end")
	case len(words) == 0:
		return key, "", errors.New("the public key is empty")
	case words[0] != keyType:
		return key, "", wrongType(words[0])
	case len(words) == 1:
		return key, "", errors.New("nothing stands behind " + keyType + "; copy the whole line of the .pub file")
	}
	raw, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return key, "", errors.New("the public key is damaged; copy the whole line of the .pub file again")
	}
	if key, err = unmarshalKey(raw); err != nil {
		return key, "", err
	}
	return key, strings.Join(words[2:], " "), nil
}

// wrongType is the error for a key of another type, or for no key, with the remedy.
func wrongType(word string) error {
	const remedy = "; make one with: ssh-keygen -t ed25519"
	switch {
	case strings.HasPrefix(word, "sk-"):
		return fmt.Errorf("%.40q is a key in a security token, and operators sign with a plain %s key%s",
			word, keyType, remedy)
	case strings.HasPrefix(word, "ssh-"), strings.HasPrefix(word, "ecdsa-"):
		return fmt.Errorf("a key of type %.40q, and operators sign with %s%s", word, keyType, remedy)
	}
	return fmt.Errorf("%.40q is no type of a public key, wanted is %s%s", word, keyType, remedy)
}

func unmarshalKey(raw []byte) (key PublicKey, err error) {
	in := reader{raw}
	kind, ok := in.text()
	if !ok {
		return key, errors.New("the public key is damaged")
	}
	if string(kind) != keyType {
		return key, wrongType(string(kind))
	}
	value, ok := in.text()
	if !ok || len(value) != len(key) || len(in.rest) > 0 {
		return key, errors.New("the public key is damaged")
	}
	return PublicKey(value), nil
}

func (k PublicKey) marshal() []byte {
	return appendText(appendText(nil, []byte(keyType)), k[:])
}

// String is the key as in a .pub file, without a comment.
func (k PublicKey) String() string {
	return keyType + " " + base64.StdEncoding.EncodeToString(k.marshal())
}

// Fingerprint is the fingerprint of ssh-keygen -l: SHA256:…
func (k PublicKey) Fingerprint() string {
	sum := sha256.Sum256(k.marshal())
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}
