package broadcast

import "time"

// bucket bounds a rate: it fills with rate tokens a second, up to burst.
type bucket struct {
	rate, burst float64
	level       float64
	at          time.Time
}

func newBucket(rate, burst float64) bucket { return bucket{rate: rate, burst: burst, level: burst} }

// take takes a token and reports whether there was one.
func (b *bucket) take(now time.Time) bool {
	if !b.at.IsZero() {
		b.level = min(b.burst, b.level+b.rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}
