package rpc

import (
	"errors"
	"fmt"
	"time"
)

// stage is the progress of a connection.
type stage uint8

const (
	stageNone      stage = iota
	stageHandshake       // in its TLS handshake, or before it on a port with TLS only
	stageFresh           // past its handshake, and has not completed a message
	stageProven          // has completed a message
	stageMember          // a site connection past its handshake
)

// maxReserved bounds the places that are kept for fresh connections when proven
// ones have taken all others, so that a process of the site can still connect.
const maxReserved = 64

var errMadeRoom = errors.New(
	"closed to make room: too many connections stand, most of them from its address, and it had no call",
)

// connStages holds a server's connections by stage. Silent connections stay while
// there is room: pools open connections early and use them late.
type connStages struct {
	max        int // largest number of connections past their handshake
	reserved   int // places for fresh connections when all others are taken
	proven     connCensus
	fresh      connCensus
	handshakes connCensus
	sites      connCensus // site connections: accepted beyond max, and never closed to make room
}

// standing returns the number of connections after their handshake.
func (w *connStages) standing() int { return w.fresh.n + w.proven.n + w.sites.n }

func newConnStages(limit int) connStages {
	return connStages{max: limit, reserved: max(1, min(maxReserved, limit/16))}
}

// move brings a connection to a stage. The caller must then close victim, if there is one. An error
// means that there is no place for the connection itself.
func (w *connStages) move(c *serverConn, to stage) (victim *serverConn, err error) {
	w.leave(c)
	if to >= stageFresh && c.info.Load().Site {
		to = stageMember
	}
	switch to {
	case stageHandshake:
		if w.handshakes.n >= max(maxReserved, w.max/2) {
			victim = w.handshakes.worst()
		}
		w.handshakes.add(c)
	case stageFresh:
		if w.standing() >= w.max*3/4 && w.fresh.n >= w.reserved {
			victim = w.fresh.worst()
		}
		w.fresh.add(c)
	case stageProven:
		if n := w.proven.n + w.sites.n; n >= w.max {
			if victim = w.fairVictim(c); victim == nil {
				return nil, fmt.Errorf("%w: %d, the limit", errFull, n)
			}
		}
		w.proven.add(c)
	case stageMember:
		w.sites.add(c)
	}
	c.stage = to
	return victim, nil
}

// leave removes a connection.
func (w *connStages) leave(c *serverConn) {
	switch c.stage {
	case stageHandshake:
		w.handshakes.remove(c)
	case stageFresh:
		w.fresh.remove(c)
	case stageProven:
		w.proven.remove(c)
	case stageMember:
		w.sites.remove(c)
	}
	c.stage = stageNone
}

// fairVictim returns an idle connection to close when all places are taken, or nil. It takes one of
// the address with the most connections, if that has at least twice as many as the address of c
// would have. So one address can't keep all others out.
func (w *connStages) fairVictim(c *serverConn) *serverConn {
	if len(w.proven.most) == 0 {
		return nil // site connections have all places
	}
	most, mine := w.proven.most[0].conns, 0
	if s := w.proven.sources[c.source]; s != nil {
		mine = s.conns.Len()
	}
	if most.Len() < 2*(mine+1) {
		return nil
	}
	tries := 0
	for e := most.Front(); e != nil && tries < maxVictimTries; e = e.Next() {
		if old := e.Value.(*serverConn); old.isIdle() {
			return old
		}
		tries++
	}
	return nil
}

// maxVictimTries bounds the search for a connection without a call.
const maxVictimTries = 64

// isIdle reports whether no call runs on the connection.
func (c *serverConn) isIdle() bool {
	c.mu.Lock()
	n := len(c.running)
	c.mu.Unlock()
	c.workers.inline.each(func(r *serverCall) {
		if r.conn == c {
			n++
		}
	})
	return n == 0
}

// move brings a connection to a stage, and makes room for it.
func (s *Server) move(c *serverConn, to stage) error {
	s.mu.Lock()
	if _, ok := s.conns[c]; !ok { // it was closed meanwhile
		s.mu.Unlock()
		return errPeerClosed
	}
	victim, err := s.stages.move(c, to)
	if victim != nil {
		s.stages.leave(victim) // so that the next search does not choose it again
	}
	s.mu.Unlock()
	if victim != nil {
		s.madeRoom.Add(1)
		s.logClose(victim, errMadeRoom)
		if victim.skerry.Load() { // so that the client knows that nothing else was executed
			_ = victim.out.Send(appendControl(nil, controlBye, 0, 0), nil, 0)
		}
		victim.close(errMadeRoom)
	}
	return err
}

// logClose counts and logs why a connection is closed.
func (s *Server) logClose(c *serverConn, why error) {
	s.failed.Add(1)
	if ok, unreported := s.closeLog.allow(time.Now(), closeReason(why), c.source); ok {
		s.log.Warn("rpc: connection closed", "peer", c.peer, "reason", why, "unreported", unreported)
	}
}
