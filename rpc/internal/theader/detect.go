package theader

import "encoding/binary"

// Kind is how a peer frames its messages.
type Kind uint8

// The kinds. A connection keeps the kind of its first message.
const (
	Unknown         Kind = iota // not Thrift, or none of the kinds below
	NeedMore                    // too few bytes to decide
	Headers                     // THeader frames
	FramedBinary                // length word, then strict binary
	FramedCompact               // length word, then compact
	UnframedBinary              // strict binary on the bare stream
	UnframedCompact             // compact on the bare stream
)

var kindNames = [...]string{"unknown", "need more", "header", "framed-binary", "framed-compact", "binary", "compact"}

// String is the name of the kind in logs.
func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Sniff is the largest number of bytes that Detect needs.
const Sniff = 8

// maxLength is the largest length word of a frame. Larger ones are the beginnings of other
// protocols, such as an HTTP method.
const maxLength = 0x3fffffff

// Detect returns the kind of a connection with these first bytes.
func Detect(first []byte) Kind {
	switch message(first) {
	case binaryMessage:
		return UnframedBinary
	case compactMessage:
		return UnframedCompact
	}
	if len(first) < lengthSize {
		return NeedMore
	}
	if binary.BigEndian.Uint32(first) > maxLength {
		return Unknown
	}
	inner := first[lengthSize:]
	if len(inner) < 2 {
		return NeedMore
	}
	switch message(inner) {
	case binaryMessage:
		return FramedBinary
	case compactMessage:
		return FramedCompact
	}
	if binary.BigEndian.Uint16(inner) == magic {
		return Headers
	}
	return Unknown
}

const (
	noMessage = iota
	binaryMessage
	compactMessage
)

// message decides by two bytes whether a Thrift message begins here.
func message(b []byte) int {
	switch {
	case len(b) < 2:
	case b[0] == 0x80 && b[1] == 0x01:
		return binaryMessage
	case b[0] == 0x82 && b[1]&0x1f == 0x01:
		return compactMessage
	}
	return noMessage
}

// Guess describes bytes of Unknown kind for the log.
func Guess(first []byte) string {
	switch {
	case len(first) < lengthSize:
		return "too short to tell"
	case first[0] == 0x16 && first[1] == 0x03:
		return "looks like TLS: this port speaks plain TCP"
	case isUpper(first[0]) && isUpper(first[1]) && (isUpper(first[2]) || first[2] == ' '):
		return "looks like HTTP: this port speaks Thrift"
	case len(first) > lengthSize && first[lengthSize] == 0:
		return "looks like Thrift binary without the version word: use the strict form"
	}
	return "no Thrift message"
}

func isUpper(b byte) bool { return 'A' <= b && b <= 'Z' }
