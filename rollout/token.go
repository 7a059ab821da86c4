package rollout

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// Token is what a trace carries in every call: the snapshot of the rules it
// reads, the seed that decides for it where a share of the traffic is split,
// and the mark of a verifier who is to meet versions under test. Its zero
// value means "no token": generation 0 without seed.
type Token struct {
	Generation Generation
	Seed       uint64 // hash of a sticky key (a user) or of the trace id; see SeedOf
	Mark       string // name of an override, "" for everybody else; at most MaxMark bytes
}

// MaxMark is the longest mark, in bytes.
const MaxMark = 63

// maxToken is the longest encoding that ParseToken looks at.
const maxToken = 128

// ErrToken is wrapped by the errors of ParseToken.
var ErrToken = errors.New("malformed rollout token")

const tokenFormat = 1

// Append appends the token as it travels in a header: base64url of
// format, timeline, number (varints), seed (8 bytes) and mark. A token
// without mark takes 15 to 20 bytes.
func (t Token) Append(dst []byte) []byte {
	var raw [1 + binary.MaxVarintLen32 + binary.MaxVarintLen64 + 8 + MaxMark]byte
	b := append(raw[:0], tokenFormat)
	b = binary.AppendUvarint(b, uint64(t.Generation.Timeline))
	b = binary.AppendUvarint(b, t.Generation.N)
	b = binary.LittleEndian.AppendUint64(b, t.Seed)
	b = append(b, t.Mark[:min(len(t.Mark), MaxMark)]...)
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// String is the token as it travels.
func (t Token) String() string { return string(t.Append(nil)) }

// ParseToken reads what Append wrote. It allocates only for a mark.
func ParseToken(s string) (Token, error) {
	if len(s) > maxToken {
		return Token{}, fmt.Errorf("%w: %d bytes", ErrToken, len(s))
	}
	var raw, text [maxToken]byte
	n, err := base64.RawURLEncoding.Decode(raw[:], text[:copy(text[:], s)])
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	b := raw[:n]
	if len(b) == 0 || b[0] != tokenFormat {
		return Token{}, fmt.Errorf("%w: unknown format", ErrToken)
	}
	timeline, used := binary.Uvarint(b[1:])
	if used <= 0 || timeline > 1<<32-1 {
		return Token{}, fmt.Errorf("%w: timeline", ErrToken)
	}
	b = b[1+used:]
	number, used := binary.Uvarint(b)
	if used <= 0 {
		return Token{}, fmt.Errorf("%w: generation", ErrToken)
	}
	b = b[used:]
	if len(b) < 8 || len(b) > 8+MaxMark {
		return Token{}, fmt.Errorf("%w: seed or mark", ErrToken)
	}
	return Token{
		Generation: Generation{uint32(timeline), number},
		Seed:       binary.LittleEndian.Uint64(b),
		Mark:       string(b[8:]),
	}, nil
}

// SeedOf is the seed for a sticky key: FNV-1a, stirred so that near keys fall
// far apart.
func SeedOf(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(key); i++ {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
