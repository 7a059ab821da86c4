package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest names a blob by its content: "sha256:" and 64 hexadecimal digits in lower case.
type Digest string

const digestPrefix = "sha256:"

// ParseDigest checks the form of a digest.
func ParseDigest(text string) (Digest, error) {
	digits, ok := strings.CutPrefix(text, digestPrefix)
	if !ok || len(digits) != 2*sha256.Size || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%.80q is no digest: one is sha256: and 64 digits 0-9 a-f", text)
	}
	return Digest(text), nil
}

// Hex is the digest without its prefix.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Short is the beginning of the digest, for tables.
func (d Digest) Short() string { return digestPrefix + d.Hex()[:min(12, len(d.Hex()))] }

func digestOf(content []byte) Digest {
	sum := sha256.Sum256(content)
	return sumDigest(sum[:])
}

func sumDigest(sum []byte) Digest { return Digest(digestPrefix + hex.EncodeToString(sum)) }
