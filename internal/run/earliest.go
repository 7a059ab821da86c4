package run

import "time"

// Earliest returns the earliest of some times. The zero time means never, as an argument and as the
// result.
func Earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}
