package rpc

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// read reads and runs calls until the connection ends, or until another goroutine reads it. An err
// from opening the connection ends it at once.
func (c *serverConn) read(err error) {
	for err == nil {
		fresh := !c.in.Ready()
		if fresh {
			c.batch, c.taken = max(c.taken, c.batch*3/4), 0
		}
		if fresh || transport.FlushEarly(c.batch, c.taken) || c.out.Pending() > transport.FlushAt {
			c.out.Flush()
		}
		c.taken++
		c.out.AwaitRoom()
		var frame string
		if frame, err = c.dialect.read(c.in); err == nil {
			if fresh {
				c.clock = c.in.Filled
			}
			var relieved bool
			if relieved, err = c.receive(frame); relieved {
				return
			}
		}
	}
	if c.hasBegun() {
		c.out.Flush()
	}
	c.in.Release()
	if err == io.EOF {
		c.answerHalfClosed()
	}
	c.report(err)
	c.close(err)
}

// now returns the time of the last read, or the end of the last inline run if that is later. This
// saves reading the clock for each message.
func (c *serverConn) now() time.Time {
	if c.clock.IsZero() {
		c.clock = time.Now()
	}
	return c.clock
}

// handOff makes another goroutine read on, because r blocks the reader.
func (c *serverConn) handOff(r *serverCall) {
	c.mu.Lock()
	ours := r.inline().CompareAndSwap(r, nil)
	if ours {
		c.running[r.seq] = r
	}
	c.mu.Unlock()
	if !ours {
		return // it has just ended
	}
	if !c.workers.group.Go(func(context.Context) error { c.readOn(r); return nil }) {
		c.close(errServerStopped)
	}
}

// readOn is the reader that takes over while r runs.
func (c *serverConn) readOn(r *serverCall) {
	now := time.Now()
	r.counted.inline.record(r.ranFor(now), now)
	c.read(nil)
}

// receive handles one frame or message. An error ends the connection.
// relieved says that another goroutine reads the connection now.
func (c *serverConn) receive(frame string) (relieved bool, err error) {
	if !c.proven {
		if err := c.s.move(c, stageProven); err != nil {
			return false, err
		}
		c.proven = true
	}
	if c.trust != nil && c.in.Filled.Sub(c.trustChecked) >= trustCheckEvery {
		c.trustChecked = c.in.Filled
		if err := c.trust.holds(); err != nil {
			return false, err
		}
	}
	if c.itemHead != nil {
		if ok, err := c.knownItem(frame); ok {
			return false, err
		}
	}
	r := &serverCall{conn: c, encoding: c.dialect.encoding, payload: frame, arrived: c.in.Filled}
	if c.dialect.header {
		if err := c.readHead(r, frame); err != nil || r.payload == "" {
			r.releaseMemory()
			return false, err
		}
	}
	r.hold(transport.Weight(frame))
	if err := r.begin(); err != nil {
		r.releaseMemory()
		return false, err
	}
	if !r.unordered {
		select {
		case c.ordered <- struct{}{}:
		case <-c.done:
			r.releaseMemory()
			return false, errPeerClosed
		}
	}
	return r.admit(), nil
}

// readHead reads the frame's header and obeys control frames, which have no payload.
func (c *serverConn) readHead(r *serverCall, frame string) (err error) {
	h := &c.head
	if r.payload, err = theader.Parse(frame, h, c.in.Limits); err != nil {
		return err
	}
	if k := h.Get(keyControl); k != "" {
		r.payload = ""
		return c.control(k, h)
	}
	r.header(h)
	if r.info.Service != "" {
		c.metSkerry()
	}
	if f := r.info.stream; f != nil && f.frame != "" {
		payload := r.payload
		r.payload = ""
		if f.frame == frameItem && !h.Zipped {
			c.learnItemHead(frame, payload, r.encoding)
		}
		return c.streamFrame(r, f.frame, payload, len(frame), h.Zipped)
	}
	if h.Zipped {
		err = r.inflate()
	}
	if err == nil && r.payload == "" {
		err = fmt.Errorf("%w: a frame without a message", theader.ErrMalformed)
	}
	return err
}

func (c *serverConn) control(kind string, h *theader.Header) error {
	c.metSkerry()
	switch kind {
	case controlPing:
		return c.pong(h)
	case controlHello:
		return c.checkProof(h)
	case controlCancel:
		seq, err := readTarget(h)
		if err != nil {
			return err
		}
		c.mu.Lock()
		r := c.running[seq]
		c.mu.Unlock()
		if r != nil {
			r.cancel()
		}
	case controlCredit:
		seq, n, err := readCredit(h)
		if err != nil {
			return err
		}
		if st := c.findStream(seq); st != nil {
			return st.credit(n)
		}
	}
	return nil // later versions may know others
}
