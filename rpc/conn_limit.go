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
	stageFresh           // stands, and has not completed a message
	stageProven          // has completed one
	stageMember          // stands, and is a site connection
)

// maxLobby bounds the fresh connections that are taken when the proven ones have
// all places, so that a process of the site can still connect.
const maxLobby = 64

var errMadeRoom = errors.New(
	"it has made room: too many connections stand, most of them from its address, and nothing went on here",
)

// connStages holds a server's connections by stage. Silent connections stay while
// there is room: pools open connections early and use them late.
type connStages struct {
	max        int // connections that stand
	lobby      int
	proven     connCensus
	fresh      connCensus
	handshakes connCensus
	sites      connCensus // site connections: accepted beyond max, and never closed to make room
}

// standing returns the number of connections after their handshake.
func (w *connStages) standing() int { return w.fresh.n + w.proven.n + w.sites.n }

func newConnStages(limit int) connStages {
	return connStages{max: limit, lobby: max(1, min(maxLobby, limit/16))}
}

// move brings a connection to a stage. The caller closes victim for it. err says that the
// connection itself is one too many.
func (w *connStages) move(c *serverConn, to stage) (victim *serverConn, err error) {
	w.leave(c)
	if to >= stageFresh && c.info.Load().Site {
		to = stageMember
	}
	switch to {
	case stageHandshake:
		if w.handshakes.n >= max(maxLobby, w.max/2) {
			victim = w.handshakes.worst()
		}
		w.handshakes.add(c)
	case stageFresh:
		if w.standing() >= w.max*3/4 && w.fresh.n >= w.lobby {
			victim = w.fresh.worst()
		}
		w.fresh.add(c)
	case stageProven:
		if n := w.proven.n + w.sites.n; n >= w.max {
			if victim = w.share(c); victim == nil {
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

// share returns an idle connection that makes room when all places are taken. It belongs to the
// address with the most connections, if that has twice as many as the new connection's address
// would have. One address thus can't keep all others out.
func (w *connStages) share(c *serverConn) *serverConn {
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
	for e := most.Front(); e != nil && tries < maxTries; e = e.Next() {
		if old := e.Value.(*serverConn); old.isIdle() {
			return old
		}
		tries++
	}
	return nil
}

// maxTries bounds the search for a connection without a call.
const maxTries = 64

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
		if victim.skerry.Load() { // tells the caller that nothing was executed
			_ = victim.out.Send(appendControl(nil, controlBye, 0, 0), nil, 0)
		}
		victim.close(errMadeRoom)
	}
	return err
}

// logClose counts and logs why a connection is closed.
func (s *Server) logClose(c *serverConn, why error) {
	s.failed.Add(1)
	if ok, kept := s.closeLog.allow(time.Now(), closeReason(why), c.source); ok {
		s.log.Warn("rpc: connection closed", "peer", c.peer, "reason", why, "unreported", kept)
	}
}
