package rpc

import "time"

const (
	quickAlone   = 40 * time.Microsecond // a handler may take so long in the reader while nothing waits behind it
	quickCrowded = 20 * time.Microsecond // and so long when something does: workers can use other processors
	longRun      = 64 * time.Microsecond // no run weighs more in the average
	stallMost    = time.Millisecond      // nor more as a stall
	stallLimit   = stallMost / 64        // on average: two long stalls in a hundred calls
	shortBar     = 20 * time.Millisecond
	longBar      = time.Second
)

// inlinePolicy decides for one kind of call on one connection whether the reader
// runs it, by how long earlier runs took. The reader owns it.
type inlinePolicy struct {
	average time.Duration // of a run
	stalls  time.Duration // by which a run holds up the connection, on average
	bar     time.Duration // how long the next bar is
	barred  time.Time     // to the workers until then
}

// allows reports whether the reader may run the call. crowded says that others
// wait behind it.
func (p *inlinePolicy) allows(now time.Time, crowded bool) bool {
	limit := quickAlone
	if crowded {
		limit = quickCrowded
	}
	if p.average > limit {
		p.average -= p.average / 256 // so that the reader tries again after a while
		return false
	}
	return p.stalls == 0 || !now.Before(p.barred)
}

// record notes how long a run took. When the reader is held up too often, the
// workers get all calls for a while, twice as long each time.
func (p *inlinePolicy) record(took time.Duration, now time.Time) {
	p.average += (min(took, longRun) - p.average) / 16
	stall := time.Duration(0)
	if took > quickAlone {
		stall = min(took, stallMost)
	}
	p.stalls += (stall - p.stalls) / 128
	if p.stalls > stallLimit {
		p.bar = min(max(2*p.bar, shortBar), longBar)
		p.barred = now.Add(p.bar)
		p.stalls = stallLimit / 2
	} else if stall == 0 && p.bar > 0 && now.Sub(p.barred) > 4*p.bar {
		p.bar = 0 // it has been quick for long
	}
}
