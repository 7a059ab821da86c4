package console

import (
	"maps"
	"slices"
	"time"
)

// A brake slows guesses down. Each key has freeTries in a row; then it waits for a minute, and after each further try
// twice as long as before, up to longestWait. What it has guessed is forgotten after forgetTime without a try.
type brake struct {
	keys map[string]*braked
}

type braked struct {
	tries int
	last  time.Time
}

const (
	freeTries   = 5
	firstWait   = time.Minute
	longestWait = 15 * time.Minute
	forgetTime  = time.Hour
	mostBraked  = 10000
)

// wait is how long a key has to wait for its next try.
func (b *brake) wait(key string, free int, now time.Time) time.Duration {
	k := b.keys[key]
	if k == nil || k.tries < free {
		return 0
	}
	wait := longestWait
	if more := k.tries - free; more < 4 {
		wait = min(firstWait<<more, longestWait)
	}
	return max(0, k.last.Add(wait).Sub(now))
}

// try counts a try before its outcome is known, so that tries at the same time count, too.
func (b *brake) try(key string, free int, now time.Time) {
	k := b.keys[key]
	if k == nil {
		if len(b.keys) >= mostBraked {
			b.forget(now)
		}
		k = &braked{}
		b.keys[key] = k
	}
	if k.tries < free && now.Sub(k.last) > firstWait {
		k.tries = 0
	}
	k.tries++
	k.last = now
}

// passed forgets the tries of a key that was right.
func (b *brake) passed(key string) { delete(b.keys, key) }

// forget takes out what is old, and the oldest tenth when that is too little.
func (b *brake) forget(now time.Time) {
	maps.DeleteFunc(b.keys, func(_ string, k *braked) bool { return now.Sub(k.last) > forgetTime })
	if len(b.keys) < mostBraked {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(b.keys), func(x, y string) int {
		return b.keys[x].last.Compare(b.keys[y].last)
	})
	for _, key := range oldest[:mostBraked/10] {
		delete(b.keys, key)
	}
}
