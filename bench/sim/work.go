package sim

import (
	"math/rand/v2"
	"time"
)

// Work is one (sub-)transaction: what a service does for a call. Between the
// steps, before the first and after the last, it works for Pause.
type Work struct {
	Service int
	Pause   time.Duration
	Steps   [][]*Call // the calls of a step are made at once
}

// Call is one call, with all that chance has in store for it.
type Call struct {
	Work     *Work
	OneWay   bool
	Attempts []Attempt // the last one is answered
}

// Attempt is one sending of a call.
type Attempt struct {
	Pick    uint64        // which instance
	There   time.Duration // until the request has arrived
	Back    time.Duration // until the reply has arrived
	LostFor time.Duration // 0: answered; else the caller notices the broken connection so long after sending
}

// Chance is how work is drawn.
type Chance struct {
	Mean, Deviation time.Duration // of the local work of one call, cut to 0..2×Mean
	Delay           time.Duration // of a message
	Jitter          time.Duration // added to Delay, 0 to this
	Siblings        float64       // share of calls made together with the one before
	OneWay          float64       // share of calls without a caller that waits
	Lost            float64       // share of replies that never arrive
}

// FSE is the workload of FSE 2011: calls one after the other.
var FSE = Chance{Mean: 50 * Unit, Deviation: 10 * Unit, Delay: 5 * Unit}

// Site is what happens on real sites besides.
var Site = Chance{Mean: 50 * Unit, Deviation: 10 * Unit, Delay: 2 * Unit, Jitter: 6 * Unit, Siblings: 0.3, OneWay: 0.1,
	Lost: 0.02}

// maxAttempts bounds the retries of one call; a caller that is so unlucky as
// to need more is so rare that none is simulated.
const maxAttempts = 6

// Draw draws the work of a service: on average one call along each of its
// outgoing edges, in any order.
func (c Chance) Draw(rng *rand.Rand, g *Graph, service int) *Work {
	w := &Work{Service: service}
	var calls []int
	for _, to := range g.Out[service] {
		for range along(rng) {
			calls = append(calls, to)
		}
	}
	rng.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	for i, to := range calls {
		call := c.call(rng, g, to, rng.Float64() < c.OneWay)
		if last := len(w.Steps) - 1; i > 0 && rng.Float64() < c.Siblings {
			w.Steps[last] = append(w.Steps[last], call)
		} else {
			w.Steps = append(w.Steps, []*Call{call})
		}
	}
	w.Pause = c.local(rng) / time.Duration(len(w.Steps)+1)
	return w
}

// Request draws a request from outside to a service.
func (c Chance) Request(rng *rand.Rand, g *Graph, service int) *Call {
	return c.call(rng, g, service, false)
}

func (c Chance) call(rng *rand.Rand, g *Graph, to int, oneWay bool) *Call {
	call := &Call{Work: c.Draw(rng, g, to), OneWay: oneWay}
	for call.Attempts = append(call.Attempts, c.attempt(rng)); call.lost(); {
		call.Attempts = append(call.Attempts, c.attempt(rng))
	}
	return call
}

// lost reports whether another attempt must follow; one-way calls have no
// reply to lose.
func (c *Call) lost() bool {
	last := &c.Attempts[len(c.Attempts)-1]
	if c.OneWay || len(c.Attempts) == maxAttempts {
		last.LostFor = 0
	}
	return last.LostFor > 0
}

// spread is how probable no call along an edge is, and how probable two are.
// FSE 2011 gives the mean only; this is calibrated to its timeliness.
const spread = 0.1

// along is the number of calls along one edge.
func along(rng *rand.Rand) int {
	switch u := rng.Float64(); {
	case u < spread:
		return 0
	case u < 2*spread:
		return 2
	}
	return 1
}

func (c Chance) attempt(rng *rand.Rand) Attempt {
	a := Attempt{Pick: rng.Uint64(), There: c.message(rng), Back: c.message(rng)}
	if rng.Float64() < c.Lost {
		a.LostFor = a.There + time.Duration(1+rng.IntN(60))*Unit
	}
	return a
}

func (c Chance) message(rng *rand.Rand) time.Duration {
	if c.Jitter == 0 {
		return c.Delay
	}
	return c.Delay + time.Duration(rng.Int64N(int64(c.Jitter)))
}

// local is normally distributed, drawn again when it is out of bounds.
func (c Chance) local(rng *rand.Rand) time.Duration {
	for {
		d := c.Mean + time.Duration(rng.NormFloat64()*float64(c.Deviation))
		if d > 0 && d < 2*c.Mean {
			return d
		}
	}
}

// Poisson is the time to the next arrival when they come at a mean interval.
func Poisson(rng *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(rng.ExpFloat64() * float64(mean))
}
