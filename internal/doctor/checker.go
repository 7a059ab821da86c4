package doctor

import (
	"context"
	"sync"
	"time"
)

// CheckLimit is how long a check may take.
const CheckLimit = 8 * time.Second

// Check is a part of an examination.
type Check struct {
	Area string
	Run  func(context.Context) []Finding
}

// Checker runs checks. The zero value is ready. Its methods may be called from any goroutine.
type Checker struct {
	mu      sync.Mutex
	running map[string]time.Time // by area, since when
}

// Run runs the checks beside one another and returns their findings in the order of the checks, after [CheckLimit] at
// the latest.
func (c *Checker) Run(ctx context.Context, checks []Check) []Finding {
	ctx, cancel := context.WithTimeout(ctx, CheckLimit)
	defer cancel()
	done := make([]chan []Finding, len(checks))
	for i, check := range checks {
		done[i] = make(chan []Finding, 1)
		since, hangs := c.begin(check.Area)
		if hangs {
			done[i] <- []Finding{hanging(check.Area, time.Since(since))}
			continue
		}
		go func() { // not joined: a disk may hang for ever
			defer c.end(check.Area)
			done[i] <- safely(ctx, check)
		}()
	}
	var all []Finding
	for i, check := range checks {
		select {
		case list := <-done[i]:
			all = append(all, list...)
			continue
		case <-ctx.Done():
		}
		select {
		case list := <-done[i]: // both were ready
			all = append(all, list...)
		default:
			all = append(all, hanging(check.Area, CheckLimit))
		}
	}
	return all
}

// safely runs a check that must not end the process.
func safely(ctx context.Context, c Check) (list []Finding) {
	defer func() {
		if wrong := recover(); wrong != nil {
			l := List{Area: c.Area}
			l.Problem("tell the authors of skerry", "the check has failed: %v", wrong)
			list = l.All
		}
	}()
	return c.Run(ctx)
}

// begin notes that a check runs; hangs: it has run since before.
func (c *Checker) begin(area string) (since time.Time, hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since, hangs = c.running[area]; hangs {
		return since, true
	}
	if c.running == nil {
		c.running = map[string]time.Time{}
	}
	c.running[area] = time.Now()
	return time.Time{}, false
}

func (c *Checker) end(area string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, area)
}

func hanging(area string, since time.Duration) Finding {
	l := List{Area: area}
	l.Problem("see whether its disk or its database hangs: what the check waits for, the process may wait for, too",
		"the check has not ended within %d s", int(since.Seconds()))
	return l.All[0]
}
