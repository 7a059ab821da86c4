package recent

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sampleSlice  = 10 // seconds
	sampleSlices = slots/sampleSlice + 1
	sampleMost   = 64   // of one slice and side
	baggageMost  = 1024 // bytes that a sample keeps
	wordMost     = 64   // bytes of a mark or trace id
)

// Facts are what differs between the calls of one kind.
type Facts struct {
	Baggage string // W3C baggage; a longer one than 1 KiB is not kept
	Mark    string // of the trace
	Trace   string // W3C trace id
	Owner   string // callee's process, of calls that were made: host/pid/epoch
	Seed    uint64
	Seeded  bool
}

// Sample is one call.
type Sample struct {
	Kind    *Key
	Outcome uint8
	Began   time.Duration // after the recorder was made
	Took    time.Duration
	Weight  int64 // number of calls that it stands for
	Cut     bool  // its baggage was too long
	Facts
}

// place of one sample. Its buffers are used again.
type kept struct {
	kind                 *Kind
	outcome              uint8
	began, took          time.Duration
	cut, seeded          bool
	seed                 uint64
	owner                string
	baggage, mark, trace []byte
}

// sampler draws the samples of one side.
type sampler struct {
	chance atomic.Uint64 // slice << 32 | largest random number of a sampled call

	mu     sync.Mutex
	slices [sampleSlices]struct {
		number int64 // -1: none yet
		every  int64 // one of so many calls is sampled, a power of two
		n      int
		kept   []kept
	}
}

func (p *sampler) reset() {
	for i := range p.slices {
		p.slices[i].number = -1
	}
	p.chance.Store(1<<32 - 1)
	p.slices[0].number, p.slices[0].every = 0, 1
}

// draws reports whether a call of a second is sampled.
func (p *sampler) draws(second int64) bool {
	chance := p.chance.Load()
	if int64(chance>>32) < second/sampleSlice {
		chance = p.turn(second / sampleSlice)
	}
	return rand.Uint32() <= uint32(chance)
}

// turn begins a slice with the chance that would have filled half of the one before.
func (p *sampler) turn(number int64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if chance := p.chance.Load(); int64(chance>>32) >= number {
		return chance
	}
	every := int64(1)
	if before := &p.slices[(number-1)%sampleSlices]; before.number == number-1 {
		for every < before.every*int64(before.n)/(sampleMost/2) {
			every *= 2
		}
	}
	at := &p.slices[number%sampleSlices]
	at.number, at.every, at.n = number, every, 0
	return p.publish(number, every)
}

func (p *sampler) publish(number, every int64) uint64 {
	chance := uint64(number)<<32 | (1<<32/uint64(every) - 1)
	p.chance.Store(chance)
	return chance
}

// Sample keeps a call for which Record has returned true.
func (k *Kind) Sample(began time.Time, took time.Duration, outcome uint8, f *Facts) {
	p := &k.r.samples[k.key.Side]
	since := max(began.Sub(k.r.begun), 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	number := second(since) / sampleSlice
	if newest := int64(p.chance.Load() >> 32); number < newest {
		number = newest // it was drawn with this chance
	}
	at := &p.slices[number%sampleSlices]
	if at.number != number {
		return
	}
	if at.n == sampleMost {
		at.n = 0
		for i := range at.kept {
			if rand.Uint32()&1 == 0 {
				at.kept[i], at.kept[at.n] = at.kept[at.n], at.kept[i]
				at.n++
			}
		}
		at.every *= 2
		p.publish(number, at.every)
		if at.n == sampleMost || rand.Uint32()&1 == 0 {
			return
		}
	}
	if at.n == len(at.kept) {
		at.kept = append(at.kept, kept{})
	}
	at.kept[at.n].set(k, outcome, since, took, f)
	at.n++
}

func (s *kept) set(k *Kind, outcome uint8, began, took time.Duration, f *Facts) {
	s.kind, s.outcome, s.began, s.took = k, outcome, began, took
	s.seed, s.seeded, s.owner = f.Seed, f.Seeded, f.Owner
	s.cut = len(f.Baggage) > baggageMost
	s.baggage = s.baggage[:0]
	if !s.cut {
		s.baggage = append(s.baggage, f.Baggage...)
	}
	s.mark = append(s.mark[:0], f.Mark[:min(len(f.Mark), wordMost)]...)
	s.trace = append(s.trace[:0], f.Trace[:min(len(f.Trace), wordMost)]...)
}

// since returns the samples of calls that began at a second or later.
func (p *sampler) since(from int64) (out []Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.slices {
		at := &p.slices[i]
		if at.number < from/sampleSlice {
			continue
		}
		for j := range at.n {
			s := &at.kept[j]
			if second(s.began) < from {
				continue
			}
			out = append(out, Sample{Kind: &s.kind.key, Outcome: s.outcome, Began: s.began, Took: s.took,
				Weight: at.every, Cut: s.cut, Facts: Facts{Baggage: string(s.baggage), Mark: string(s.mark),
					Trace: string(s.trace), Owner: s.owner, Seed: s.seed, Seeded: s.seeded}})
		}
	}
	return out
}
