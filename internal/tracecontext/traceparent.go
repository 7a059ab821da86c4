package tracecontext

import (
	"encoding/binary"
	"math/rand/v2"
)

// A W3C traceparent is 00-<trace id, 32 hex>-<span id, 16 hex>-<flags, 2 hex>. Later versions may
// append further fields.
const (
	Size = 55 // of version 00, in bytes

	traceIDAt  = 3
	spanIDAt   = 36
	flagsAt    = 53
	newTraceOf = "00-00000000000000000000000000000000-0000000000000000-01" // 01: sampled
)

// Valid reports whether s is a valid traceparent: lower case only, no id of zeros, no version
// ff, and nothing after version 00. By the standard, an invalid one counts as absent, with its
// tracestate.
func Valid(s string) bool {
	if len(s) < Size || s[2] != '-' || s[spanIDAt-1] != '-' || s[flagsAt-1] != '-' {
		return false
	}
	version, ok := hexField(s[:2])
	switch {
	case !ok || s[:2] == "ff":
		return false
	case !version && len(s) != Size: // version 00
		return false
	case len(s) > Size && s[Size] != '-':
		return false
	}
	trace, ok1 := hexField(s[traceIDAt : spanIDAt-1])
	span, ok2 := hexField(s[spanIDAt : flagsAt-1])
	_, ok3 := hexField(s[flagsAt:Size])
	return trace && span && ok1 && ok2 && ok3
}

// ID returns the trace id of a traceparent, "" of an invalid one.
func ID(traceparent string) string {
	if !Valid(traceparent) {
		return ""
	}
	return traceparent[traceIDAt : spanIDAt-1]
}

// hexField reports whether s is lower case hexadecimal, and whether a digit is not zero. It reads
// eight digits at a time, because every call has 48.
func hexField(s string) (nonzero, ok bool) {
	const each, top = 0x0101010101010101, 0x8080808080808080
	bad, other := uint64(0), uint64(0)
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		// The top bit of each byte shows whether it is at least that character. No sum carries into
		// the next byte, because all bytes are below 0x80 or refused.
		low := w &^ top
		digit := (low + (0x80-'0')*each) &^ (low + (0x80-'9'-1)*each)
		letter := (low + (0x80-'a')*each) &^ (low + (0x80-'f'-1)*each)
		bad |= w | ^(digit | letter)
		other |= w ^ '0'*each
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false, false
		}
		other |= uint64(c ^ '0')
	}
	return other != 0, bad&top == 0
}

// NextSpan returns the traceparent of work on behalf of parent: a new span of its trace with its
// flags, or a new trace when parent is invalid. It always has version 00.
func NextSpan(parent string) string {
	var b [Size]byte
	return string(AppendSpan(b[:0], parent))
}

// AppendSpan appends NextSpan to dst.
func AppendSpan(dst []byte, parent string) []byte {
	dst = append(dst, newTraceOf...)
	b := dst[len(dst)-Size:]
	if Valid(parent) {
		copy(b[traceIDAt:spanIDAt], parent[traceIDAt:])
		copy(b[flagsAt:], parent[flagsAt:Size])
	} else {
		putID(b[traceIDAt : traceIDAt+16])
		putID(b[traceIDAt+16 : spanIDAt-1])
	}
	putID(b[spanIDAt : flagsAt-1])
	return dst
}

// putID writes 16 random digits, not all zero. The ids must be unique, and need not be secret.
func putID(dst []byte) {
	id := rand.Uint64()
	for id == 0 {
		id = rand.Uint64()
	}
	putHex(dst, uint32(id))
	putHex(dst[8:], uint32(id>>32))
}

// putHex writes eight digits at once.
func putHex(dst []byte, v uint32) {
	const each = 0x0101010101010101
	w := uint64(v)
	w = (w | w<<16) & 0x0000ffff0000ffff
	w = (w | w<<8) & 0x00ff00ff00ff00ff
	w = (w | w<<4) & 0x0f0f0f0f0f0f0f0f // a digit in each byte
	above9 := (w + 6*each) >> 4 & each
	w += '0'*each + above9*('a'-'9'-1)
	binary.LittleEndian.PutUint64(dst, w)
}
