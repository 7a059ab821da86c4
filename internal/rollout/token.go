package rollout

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// Token identifies what a trace reads, and travels in every call. It holds the
// snapshot of the rules, the seed that decides where traffic is split, and the
// mark of a verifier. [Log.Token] makes one. The zero value is generation 0, the
// empty log, with seed 0.
type Token struct {
	Generation Generation
	Entry      uint32 // first 4 bytes of the hash of that entry, which tell forked logs apart; 0 for generation 0
	Seed       uint64 // hash of a sticky key, such as a user's id, or of the trace id; see SeedOf
	Mark       string // a verifier's mark, "" for other requests; at most maxMark bytes
}

// maxMark is the longest mark, in bytes.
const maxMark = 63

// maxToken is the longest encoding of a token, in bytes.
const maxToken = 128

// errToken is wrapped by the errors of ParseToken.
var errToken = errors.New("malformed rollout token")

// ErrOldToken is an error of ParseToken: skerry before 0.2 wrote the token. It
// does not name a log.
var ErrOldToken = fmt.Errorf("%w of skerry before 0.2: bring the caller to this release", errToken)

const (
	tokenFormat    = 2
	oldTokenFormat = 1 // of processes before 0.2
)

// AppendRaw appends the token as the frames of calls carry it: format, timeline
// and number (varints), entry (4 bytes), seed (8 bytes), mark. Without a mark
// it takes 15 to 19 bytes while numbers are below two million.
func (t Token) AppendRaw(dst []byte) []byte {
	dst = append(dst, tokenFormat)
	dst = binary.AppendUvarint(dst, uint64(t.Generation.Timeline))
	dst = binary.AppendUvarint(dst, t.Generation.N)
	dst = binary.BigEndian.AppendUint32(dst, t.Entry)
	dst = binary.LittleEndian.AppendUint64(dst, t.Seed)
	return append(dst, t.Mark[:min(len(t.Mark), maxMark)]...)
}

// Raw returns the bytes that AppendRaw appends.
func (t Token) Raw() string {
	var raw [maxToken]byte
	return string(t.AppendRaw(raw[:0]))
}

// Append appends the text form of the token: base64url of the raw form.
func (t Token) Append(dst []byte) []byte {
	var raw [maxToken]byte
	return base64.RawURLEncoding.AppendEncode(dst, t.AppendRaw(raw[:0]))
}

// String returns the text form of the token.
func (t Token) String() string { return string(t.Append(nil)) }

// ParseToken reads what Append wrote. Its errors wrap errToken; ErrOldToken is
// one of them.
func ParseToken(s string) (Token, error) {
	if len(s) > maxToken {
		return Token{}, fmt.Errorf("%w: %d bytes", errToken, len(s))
	}
	var raw, text [maxToken]byte
	n, err := base64.RawURLEncoding.Decode(raw[:], text[:copy(text[:], s)])
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", errToken, err)
	}
	return ParseRaw(string(raw[:n]))
}

// ParseRaw reads what AppendRaw wrote. The mark shares the memory of s.
func ParseRaw(s string) (Token, error) {
	if len(s) > 0 && s[0] == oldTokenFormat {
		return Token{}, ErrOldToken
	}
	if len(s) == 0 || s[0] != tokenFormat {
		return Token{}, fmt.Errorf("%w: unknown format", errToken)
	}
	timeline, rest := uvarint(s[1:])
	number, rest2 := uvarint(rest)
	switch {
	case rest == "" || timeline >= 1<<31:
		return Token{}, fmt.Errorf("%w: timeline", errToken)
	case len(rest2) < 12 || len(rest2) > 12+maxMark || number >= maxNumber:
		return Token{}, fmt.Errorf("%w: generation, entry, seed or mark", errToken)
	}
	e, s := rest2[:4], rest2[4:12]
	return Token{
		Generation: Generation{uint32(timeline), number},
		Entry:      uint32(e[0])<<24 | uint32(e[1])<<16 | uint32(e[2])<<8 | uint32(e[3]),
		Seed: uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56,
		Mark: rest2[12:],
	}, nil
}

// uvarint is binary.Uvarint for strings. rest is what follows the number, and
// empty when s does not begin with one.
func uvarint(s string) (n uint64, rest string) {
	if len(s) > 0 && s[0] < 0x80 {
		return uint64(s[0]), s[1:]
	}
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		if i == binary.MaxVarintLen64-1 && s[i] > 1 {
			break // over 64 bits
		}
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, s[i+1:]
		}
	}
	return 0, ""
}

// SeedOf returns the seed of a sticky key: FNV-1a and a mixing step, so that
// similar keys get distant seeds.
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
