package rpc

import "time"

const (
	quickAlone   = 40 * time.Microsecond // largest average of runs in the reader while no call waits behind them
	quickCrowded = 20 * time.Microsecond // the same while calls wait: workers can use other processors
	longRun      = 64 * time.Microsecond // a longer run counts as this one in the average of runs
	stallMost    = time.Millisecond      // a longer stall counts as this one in the average of stalls
	stallLimit   = stallMost / 64        // largest average of stalls: two long ones in a hundred calls
	shortBar     = 20 * time.Millisecond // the first bar: so long workers run all calls
	longBar      = time.Second           // the longest bar
)

// inlinePolicy decides by the duration of earlier runs whether the reader runs a kind of call on
// one connection. The reader owns it.
type inlinePolicy struct {
	average time.Duration // of a run
	stalls  time.Duration // average time by which a run delays the connection
	bar     time.Duration // length of the next bar
	barred  time.Time     // until then workers run the calls
}

// allows reports whether the reader may run the call. crowded says that other calls wait behind it.
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

// record adds the duration of a run. When the reader is delayed too often, workers run all calls
// for a while, twice as long each time.
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
		p.bar = 0 // runs have been quick for long
	}
}
