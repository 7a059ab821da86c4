package spans

import (
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"
)

// Side is the side of a call that this process was on.
type Side uint8

// The sides.
const (
	Caller Side = iota
	Callee
	Edge // a request from outside, which begins or continues a trace
)

// Span is one attempt of a call as one side saw it. Both sides of an attempt give it the same ID.
type Span struct {
	Trace  [16]byte
	ID     uint64
	Parent uint64 // of a caller's span: ID of the call that was being served; 0: none
	Side   Side

	Began time.Duration // after the recorder was made; in an answer of Find: age
	Took  time.Duration
	Wait  time.Duration // before it was sent, or before its handler began
	Limit time.Duration // time that was left when it began; 0: not known

	Attempt int    // 1 for the first, counted over the chain of callers
	Failure string // code, or outcome; "": none
	Refused bool   // by the callee, before a handler ran

	Service string
	Method  string
	Version string // of the callee
	Peer    string // address: the callee's, or the caller's
	Caller  string // service
	Rules   string // of the policy, that acted
	Mark    string // of the trace
	Release string // generation that the trace reads
	Notes   string // words: exception (declared), oneway, copy, fallback
}

// Words of Notes.
const (
	Exception = "exception" // the callee answered with an exception of its IDL
	OneWay    = "oneway"
	Copy      = "copy"     // of another call, by the site's policy
	Fallback  = "fallback" // answered by the site's policy after it had failed
)

// Bounds of a recorder.
const (
	mostSpans    = 1024 // of one ring
	mostRare     = 512
	mostRefused  = 512
	blockSlots   = 64
	slowFirst    = 100 * time.Millisecond
	slowLeast    = 10 * time.Millisecond
	slowMost     = time.Hour
	slowWindow   = 10 * time.Second
	slowTooMany  = 8 // within slowWindow
	slowTooFew   = 2
	mostHalvings = 16
)

// Every: of calls that are neither slow nor failed, those of one of so many traces are kept.
const Every = 64

// The rings.
const (
	failed = iota
	slow
	sampled // of one of Every traces
	rare    // of one of 4,096, which reach back further
	refused
	rings
)

// Recorder keeps spans. A nil *Recorder keeps none.
type Recorder struct {
	begun time.Time
	limit atomic.Int64 // of slow calls, in ns
	rings [rings]ring

	mu      sync.Mutex // of what follows
	window  time.Duration
	exceed  int
	reading sync.Mutex // held by Find: one answer at a time
}

// New returns an empty recorder.
func New() *Recorder {
	r := &Recorder{begun: time.Now()}
	for i := range r.rings {
		r.rings[i].most = mostSpans
	}
	r.rings[rare].most, r.rings[refused].most = mostRare, mostRefused
	r.limit.Store(int64(slowFirst))
	return r
}

// Slow reports whether a call that took so long is kept.
func (r *Recorder) Slow(took time.Duration) bool { return int64(took) >= r.limit.Load() }

// SlowLimit is the time from which on a call counts as slow.
func (r *Recorder) SlowLimit() time.Duration { return time.Duration(r.limit.Load()) }

// Sampled reports whether all calls of a trace are kept. a and b are the last two digits of its id.
func Sampled(a, b byte) bool { return b == '0' && (a == '0' || a == '4' || a == '8' || a == 'c') }

// traceIDAt and spanIDAt are places in a traceparent.
const (
	traceIDAt = 3
	spanIDAt  = 36
	headerLen = 55
)

// SampledParent is Sampled for a valid traceparent, false for "".
func SampledParent(traceparent string) bool {
	return len(traceparent) >= headerLen && Sampled(traceparent[spanIDAt-3], traceparent[spanIDAt-2])
}

// IDs reads trace and span of a valid traceparent.
func IDs(traceparent string) (trace [16]byte, span uint64, ok bool) {
	if len(traceparent) < headerLen {
		return trace, 0, false
	}
	if _, err := hex.Decode(trace[:], []byte(traceparent[traceIDAt:spanIDAt-1])); err != nil {
		return trace, 0, false
	}
	return trace, parseID(traceparent[spanIDAt : spanIDAt+16]), true
}

func parseID(s string) (id uint64) {
	for i := range len(s) {
		c := s[i]
		digit := c - '0'
		if digit > 9 {
			digit = c - 'a' + 10
		}
		id = id<<4 | uint64(digit&15)
	}
	return id
}

// Keep stores a span of a call that began at a time. It has copies of the strings.
func (r *Recorder) Keep(began time.Time, s *Span) {
	if r == nil {
		return
	}
	s.Began = max(began.Sub(r.begun), 0)
	at := &r.rings[r.choose(s)]
	at.mu.Lock()
	at.next().set(s)
	at.mu.Unlock()
}

// choose finds the ring of a span.
func (r *Recorder) choose(s *Span) int {
	ended := s.Began + s.Took
	isSlow := r.Slow(s.Took)
	r.count(ended, isSlow)
	switch {
	case s.Refused:
		return refused
	case s.Failure != "" || s.Attempt > 1:
		return failed
	case isSlow:
		return slow
	case s.Trace[15] == 0 && s.Trace[14]&15 == 0:
		return rare
	}
	return sampled
}

// count moves the limit of slow calls.
func (r *Recorder) count(now time.Duration, exceeds bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := time.Duration(r.limit.Load())
	if passed := (now - r.window) / slowWindow; passed > 0 {
		for i := range min(passed, mostHalvings) {
			if i > 0 || r.exceed < slowTooFew {
				limit = max(limit/2, slowLeast)
			}
		}
		r.window, r.exceed = now, 0
	}
	if exceeds {
		if r.exceed++; r.exceed > slowTooMany {
			limit, r.exceed = min(2*limit, slowMost), 0
		}
	}
	r.limit.Store(int64(limit))
}

// ring holds the newest spans of one kind.
type ring struct {
	mu     sync.Mutex
	most   int
	stored uint64 // since the start
	blocks []*[blockSlots]slot
}

// next is the slot of the next span. The caller holds mu.
func (r *ring) next() *slot {
	at := int(r.stored % uint64(r.most))
	r.stored++
	if at/blockSlots == len(r.blocks) {
		r.blocks = append(r.blocks, new([blockSlots]slot))
	}
	return &r.blocks[at/blockSlots][at%blockSlots]
}

// each shows the spans.
func (r *ring) each(see func(*slot)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := range int(min(r.stored, uint64(r.most))) {
		see(&r.blocks[at/blockSlots][at%blockSlots])
	}
}
