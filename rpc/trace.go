package rpc

import "math/rand/v2"

// A W3C traceparent is 00-<trace id, 32 hex>-<span id, 16 hex>-<flags, 2 hex>.
// Later versions may have more behind it.
const (
	traceparentSize = 55
	traceIDAt       = 3
	spanIDAt        = 36
	flagsAt         = 53
	newTraceOf      = "00-00000000000000000000000000000000-0000000000000000-01" // 01: sampled
	hexAlphabet     = "0123456789abcdef"
)

// validTrace says whether s is a traceparent by the rules of the standard:
// lower case only, no id of zeros, no version ff, and nothing behind version
// 00. One that is not valid must be treated as absent, with its tracestate.
func validTrace(s string) bool {
	if len(s) < traceparentSize || s[2] != '-' || s[spanIDAt-1] != '-' || s[flagsAt-1] != '-' {
		return false
	}
	version, ok := hexField(s[:2])
	switch {
	case !ok || s[:2] == "ff":
		return false
	case !version && len(s) != traceparentSize: // version 00
		return false
	case len(s) > traceparentSize && s[traceparentSize] != '-':
		return false
	}
	trace, ok1 := hexField(s[traceIDAt : spanIDAt-1])
	span, ok2 := hexField(s[spanIDAt : flagsAt-1])
	_, ok3 := hexField(s[flagsAt:traceparentSize])
	return trace && span && ok1 && ok2 && ok3
}

// hexDigit is the value of a lower case digit; notHex marks all else.
var hexDigit = func() (t [256]byte) {
	for i := range t {
		t[i] = notHex
	}
	for i := range len(hexAlphabet) {
		t[hexAlphabet[i]] = byte(i)
	}
	return t
}()

const notHex = 0x80

// hexField says whether s is lower case hexadecimal, and whether any digit is
// not zero.
func hexField(s string) (nonzero, ok bool) {
	var all byte
	for i := range len(s) {
		all |= hexDigit[s[i]]
	}
	return all&0xf != 0, all&notHex == 0
}

// NextSpan is the traceparent of work done on behalf of parent: a new span
// of its trace with its flags, or a new trace when parent is not valid. It is
// always of version 00, the one we know.
func NextSpan(parent string) string {
	var b [traceparentSize]byte
	return string(appendSpan(b[:0], parent))
}

// appendSpan writes NextSpan behind dst.
func appendSpan(dst []byte, parent string) []byte {
	dst = append(dst, newTraceOf...)
	b := dst[len(dst)-traceparentSize:]
	if validTrace(parent) {
		copy(b[traceIDAt:spanIDAt], parent[traceIDAt:])
		copy(b[flagsAt:], parent[flagsAt:traceparentSize])
	} else {
		putID(b[traceIDAt : traceIDAt+16])
		putID(b[traceIDAt+16 : spanIDAt-1])
	}
	putID(b[spanIDAt : flagsAt-1])
	return dst
}

// putID writes 16 random digits, not all zero. The ids need to be unique, not
// secret.
func putID(dst []byte) {
	id := rand.Uint64()
	for id == 0 {
		id = rand.Uint64()
	}
	for i := range dst {
		dst[i] = hexAlphabet[id&0xf]
		id >>= 4
	}
}
