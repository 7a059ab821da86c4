package rpc

import "time"

// halfClose is the time after its last call in which a client of another library may close its
// sending side and still count as reading replies. A client that has gone looks the same until
// something is written to it. A client that closes later has given up, and its calls are cancelled.
const halfClose = 5 * time.Second

// answerHalfClosed handles a client that has closed its sending side and may yet read. It waits
// until the running calls are answered and written. Clients of skerry close both sides.
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

// recent reports whether no call runs, or one of them began recently. The caller holds mu.
func (c *serverConn) recent(now time.Time) bool {
	for _, r := range c.running {
		if now.Sub(r.arrived) < halfClose || r.ranFor(now) < halfClose {
			return true
		}
	}
	return len(c.running) == 0
}
