package recent

import (
	"math"
	"time"
)

// Steps counts calls by latency, in a form that is small enough to be sent: two steps for each doubling. Step i counts
// the calls that took less than StepBound(i), and not less than the bound before. The last step has no upper bound.
type Steps [StepCount]int64

// StepCount is the number of steps: the last bound is 210 s.
const StepCount = 43

// StepBound is the upper bound of a step.
func StepBound(step int) time.Duration {
	return time.Duration(float64(firstStep) * math.Exp2(float64(step)/2))
}

// Add counts calls of a latency.
func (s *Steps) Add(d time.Duration, calls int64) {
	step := 0
	if d >= firstStep {
		step = int(2*math.Log2(float64(d)/float64(firstStep))) + 1
	}
	s[min(step, StepCount-1)] += calls
}

// Sum adds other steps.
func (s *Steps) Sum(o Steps) {
	for i, n := range o {
		s[i] += n
	}
}

// Calls is the number of all calls.
func (s *Steps) Calls() (n int64) {
	for _, c := range s {
		n += c
	}
	return n
}

// Quantile is a latency that the part q of the calls does not exceed: a value within the step where that is, by its
// share of the step. It is 0 without a call.
func (s *Steps) Quantile(q float64) time.Duration {
	calls := s.Calls()
	if calls == 0 {
		return 0
	}
	rank := q * float64(calls)
	for i, n := range s {
		if n == 0 {
			continue
		}
		if rank <= float64(n) {
			low := time.Duration(0)
			if i > 0 {
				low = StepBound(i - 1)
			}
			return low + time.Duration(rank/float64(n)*float64(StepBound(i)-low))
		}
		rank -= float64(n)
	}
	return StepBound(StepCount - 1)
}

// Steps are the latencies in steps. Each of their places, which are finer from 1 ms on, counts by its middle.
func (l *Latencies) Steps() (s Steps) {
	if l == nil {
		return s
	}
	for i, n := range l {
		if n > 0 {
			decade, step := i/steps, i%steps
			s.Add((bound(decade, step)+bound(decade, step+1))/2, n)
		}
	}
	return s
}
