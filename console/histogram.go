package console

import "time"

// histogram counts calls by latency. Steps double: step i counts the calls that took less than 2^i times 100 µs, and
// not less than half of that. The last step has no upper bound.
type histogram [steps]int64

const (
	steps     = 22 // up to 210 s
	firstStep = 100 * time.Microsecond
)

// bound is the upper bound of a step.
func bound(step int) time.Duration { return firstStep << step }

// Add counts calls of a latency.
func (h *histogram) Add(d time.Duration, calls int64) {
	step := 0
	for step < steps-1 && d >= bound(step) {
		step++
	}
	h[step] += calls
}

// Sum adds another histogram.
func (h *histogram) Sum(o histogram) {
	for i, n := range o {
		h[i] += n
	}
}

// Calls is the number of all calls.
func (h histogram) Calls() (n int64) {
	for _, c := range h {
		n += c
	}
	return n
}

// Quantile is a latency that the part q of the calls does not exceed: a value within the step where that is, by its
// share of the step. It is 0 without a call.
func (h histogram) Quantile(q float64) time.Duration {
	calls := h.Calls()
	if calls == 0 {
		return 0
	}
	rank := q * float64(calls)
	for i, n := range h {
		if n == 0 {
			continue
		}
		if rank <= float64(n) {
			low := time.Duration(0)
			if i > 0 {
				low = bound(i - 1)
			}
			return low + time.Duration(rank/float64(n)*float64(bound(i)-low))
		}
		rank -= float64(n)
	}
	return bound(steps - 1)
}
