package rpc

import (
	"sync"
	"time"
)

// complaints lets one message in a while through to the log, and says how many
// were kept back before it.
type complaints struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
	kept int
}

func (c *complaints) may(now time.Time) (ok bool, kept int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.next) {
		c.kept++
		return false, 0
	}
	kept, c.kept, c.next = c.kept, 0, now.Add(c.every)
	return true, kept
}
