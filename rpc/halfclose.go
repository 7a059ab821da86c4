package rpc

import "time"

// halfClose is how soon behind its last call a client of another library may
// close its sending side and still be taken for one that reads the replies. A
// client that is gone looks the same until something is written to it. One that
// closes later has given up, and its calls are cancelled.
const halfClose = 5 * time.Second

// answerHalfClosed waits until the calls that run are answered and all is written, when
// the client has closed its sending side and may yet read. Clients of skerry
// close both sides.
func (c *serverConn) answerHalfClosed() {
	c.mu.Lock()
	ours := c.s.handover.Load() // the server has closed it, and the client reads
	if c.closed || !c.begun || !ours && (c.skerry.Load() || !c.recent(time.Now())) {
		c.mu.Unlock()
		return
	}
	if len(c.running) > 0 {
		rested := make(chan struct{})
		c.idle = rested
		c.mu.Unlock()
		select {
		case <-rested:
		case <-c.done:
			return
		}
	} else {
		c.mu.Unlock()
	}
	c.out.Flush()
	c.out.AwaitWritten()
}

// recent reports whether nothing runs, or some of it has begun of late. The
// caller holds mu.
func (c *serverConn) recent(now time.Time) bool {
	for _, r := range c.running {
		if now.Sub(r.arrived) < halfClose || r.ranFor(now) < halfClose {
			return true
		}
	}
	return len(c.running) == 0
}
