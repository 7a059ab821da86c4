package spans

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	texts     = 9
	textBytes = 185
	waitUnit  = time.Microsecond
)

// slot holds a span in 256 bytes.
type slot struct {
	trace       [16]byte
	id, parent  uint64
	began, took int64
	wait        uint32 // of waitUnit
	limit       uint32 // ms
	attempt     uint16
	side        Side
	refused     bool
	lengths     [texts]uint8
	text        [textBytes]byte
}

// shares bound the texts of a span, in the order of place: what is longer is cut. Texts of usual length fit together.
var shares = [texts]int{63, 64, 32, 48, 63, 24, 32, 80, 40}

// Places of texts in shares.
const (
	serviceText = 0
	methodText  = 1
	failureText = 2
	markText    = 8
)

func (s *Span) places() [texts]*string {
	return [texts]*string{&s.Service, &s.Method, &s.Failure, &s.Version, &s.Caller, &s.Notes, &s.Release, &s.Rules,
		&s.Mark}
}

// set stores a span. The address of the peer comes last, in what room there is.
func (p *slot) set(s *Span) {
	p.trace, p.id, p.parent, p.side, p.refused = s.Trace, s.ID, s.Parent, s.Side, s.Refused
	p.began, p.took = int64(s.Began), int64(max(s.Took, 0))
	p.wait = uint32(min(max(s.Wait, 0)/waitUnit, math.MaxUint32))
	p.limit = uint32(min(max(s.Limit, 0).Milliseconds(), math.MaxUint32))
	p.attempt = uint16(min(max(s.Attempt, 1), math.MaxUint16))
	room := p.text[:0]
	for i, text := range s.places() {
		t := Cut(*text, min(shares[i], textBytes-len(room)))
		room = append(room, t...)
		p.lengths[i] = uint8(len(t))
	}
	t := Cut(s.Peer, textBytes-len(room))
	room = append(room, t...)
	clear(p.text[len(room):])
}

// Cut returns the beginning of a text that has at most n bytes, and whole characters.
func Cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// textOf is the text at a place.
func (p *slot) textOf(place int) []byte {
	at := 0
	for _, n := range p.lengths[:place] {
		at += int(n)
	}
	return p.text[at : at+int(p.lengths[place])]
}

// span is what is stored.
func (p *slot) span() Span {
	s := Span{Trace: p.trace, ID: p.id, Parent: p.parent, Side: p.side, Refused: p.refused,
		Began: time.Duration(p.began), Took: time.Duration(p.took), Wait: time.Duration(p.wait) * waitUnit,
		Limit: time.Duration(p.limit) * time.Millisecond, Attempt: int(p.attempt)}
	at := 0
	for i, text := range s.places() {
		*text = string(p.text[at : at+int(p.lengths[i])])
		at += int(p.lengths[i])
	}
	s.Peer = strings.TrimRight(string(p.text[at:]), "\x00")
	return s
}
