package sshsig

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The namespaces in which operators sign.
const (
	Release = "skerry-release" // entries of the release log
	Promise = "skerry-promise" // questions before an entry; a key for Release may also sign these
	Policy  = "skerry-policy"  // entries of the policy log
	Plan    = "skerry-plan"    // plans of the site

	Artifact = "skerry-artifact" // what hosts may run; signed by builders
	Bundle   = "skerry-bundle"   // files that bring artifacts to a site
)

const (
	magic   = "SSHSIG"
	version = 1
	keyType = "ssh-ed25519"

	maxBlob      = 1024 // a blob with a namespace of 64 bytes has about 300
	maxNamespace = 64
	maxArmor     = 4 * maxBlob
)

// ErrSignature is wrapped by every error of [Verify].
var ErrSignature = errors.New("signature refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSignature, fmt.Sprintf(format, args...))
}

// Verify checks a binary signature over a message in a namespace, and returns the key that has made
// it. It does not check whether that key may sign.
func Verify(blob []byte, namespace string, message []byte) (PublicKey, error) {
	if len(blob) > maxBlob {
		return PublicKey{}, refused("%d bytes, at most %d are taken", len(blob), maxBlob)
	}
	in := reader{blob}
	if !in.literal(magic) {
		return PublicKey{}, refused("it does not begin with %s", magic)
	}
	if v, ok := in.number(); !ok || v != version {
		return PublicKey{}, refused("its version is not %d", version)
	}
	rawKey, okKey := in.text()
	space, okSpace := in.text()
	reserved, okReserved := in.text()
	hash, okHash := in.text()
	rawSig, okSig := in.text()
	if !okKey || !okSpace || !okReserved || !okHash || !okSig || len(in.rest) > 0 {
		return PublicKey{}, refused("it is cut, or bytes follow its end")
	}
	key, err := unmarshalKey(rawKey)
	if err != nil {
		return PublicKey{}, refused("%v", err)
	}
	if string(space) != namespace {
		return PublicKey{}, refused("it was made for the namespace %.64q, wanted is %q", space, namespace)
	}
	if len(reserved) > 0 {
		return PublicKey{}, refused("it has reserved bytes that this version does not know")
	}
	sum, ok := digest(string(hash), message)
	if !ok {
		return PublicKey{}, refused("the hash %.16q is neither sha512 nor sha256", hash)
	}
	sig := reader{rawSig}
	kind, okKind := sig.text()
	value, okValue := sig.text()
	if !okKind || !okValue || len(sig.rest) > 0 || string(kind) != keyType || len(value) != ed25519.SignatureSize {
		return PublicKey{}, refused("it holds no %s signature", keyType)
	}
	if !ed25519.Verify(key[:], signed(namespace, string(hash), sum), value) {
		return PublicKey{}, refused("it does not fit the message and the key %s", key.Fingerprint())
	}
	return key, nil
}

// Signed is the text that a private key, or an agent, signs for a message. The namespace is one of
// the constants above.
func Signed(namespace string, message []byte) []byte {
	sum := sha512.Sum512(message)
	return signed(namespace, "sha512", sum[:])
}

// Blob wraps the 64 bytes of a signature over Signed.
func Blob(key PublicKey, namespace string, signature []byte) ([]byte, error) {
	if len(signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("an Ed25519 signature has %d bytes, not %d", ed25519.SignatureSize, len(signature))
	}
	if namespace == "" || len(namespace) > maxNamespace {
		return nil, fmt.Errorf("a namespace has 1 to %d bytes, not %d", maxNamespace, len(namespace))
	}
	out := binary.BigEndian.AppendUint32([]byte(magic), version)
	out = appendText(out, key.marshal())
	out = appendText(out, []byte(namespace))
	out = appendText(out, nil)
	out = appendText(out, []byte("sha512"))
	return appendText(out, appendText(appendText(nil, []byte(keyType)), signature)), nil
}

func signed(namespace, hash string, sum []byte) []byte {
	out := appendText([]byte(magic), []byte(namespace))
	out = appendText(out, nil)
	out = appendText(out, []byte(hash))
	return appendText(out, sum)
}

func digest(hash string, message []byte) ([]byte, bool) {
	switch hash {
	case "sha512":
		sum := sha512.Sum512(message)
		return sum[:], true
	case "sha256":
		sum := sha256.Sum256(message)
		return sum[:], true
	}
	return nil, false
}

const (
	armorBegin = "-----BEGIN SSH SIGNATURE-----"
	armorEnd   = "-----END SSH SIGNATURE-----"
	armorWidth = 70
)

// Armor is the signature as a text file, in the form of ssh-keygen -Y sign.
func Armor(blob []byte) []byte {
	var out bytes.Buffer
	out.WriteString(armorBegin + "\n")
	for text := base64.StdEncoding.EncodeToString(blob); text != ""; {
		n := min(len(text), armorWidth)
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	out.WriteString(armorEnd + "\n")
	return out.Bytes()
}

// Dearmor reads a signature file.
func Dearmor(text []byte) ([]byte, error) {
	if len(text) > maxArmor {
		return nil, fmt.Errorf("%d bytes are too many for a signature file, at most %d are read", len(text), maxArmor)
	}
	body, okBegin := strings.CutPrefix(strings.TrimSpace(string(text)), armorBegin)
	body, okEnd := strings.CutSuffix(body, armorEnd)
	if !okBegin || !okEnd {
		return nil, fmt.Errorf("this is no signature of ssh-keygen: one begins with %s and ends with %s",
			armorBegin, armorEnd)
	}
	blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
	if err != nil {
		return nil, fmt.Errorf("the signature file is damaged: %w", err)
	}
	return blob, nil
}

// reader reads the parts of SSH's wire format from the front of rest.
type reader struct{ rest []byte }

func (r *reader) literal(text string) bool {
	rest, ok := bytes.CutPrefix(r.rest, []byte(text))
	r.rest = rest
	return ok
}

func (r *reader) number() (uint32, bool) {
	if len(r.rest) < 4 {
		return 0, false
	}
	n := binary.BigEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return n, true
}

func (r *reader) text() ([]byte, bool) {
	n, ok := r.number()
	if !ok || uint64(n) > uint64(len(r.rest)) {
		return nil, false
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out, true
}

func appendText(out, text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(text))), text...)
}
