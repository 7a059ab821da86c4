package rpc

import (
	"errors"
	"fmt"
	"time"
)

// stage is how far a connection has come.
type stage uint8

const (
	stageNone    stage = iota
	stageShaking       // in its TLS handshake, or before it on a port that speaks TLS only
	stageFresh         // stands, and has not completed a message
	stageProven        // has completed one
)

// mostLobby bounds the fresh connections that are let in when the proven ones
// take all places, so that a process of the site can still come.
const mostLobby = 64

var errMadeRoom = errors.New("it has made room: many connections stand, and this was the oldest without a message of the address that has the most")

// crowding is a server's connections by how far they have come. Silence is no
// offence while there is room: pools open connections early and use them late.
type crowding struct {
	max    int // connections that stand
	lobby  int
	proven int
	fresh  census
	shakes census
}

func newCrowding(limit int) crowding {
	return crowding{max: limit, lobby: max(1, min(mostLobby, limit/16))}
}

// move brings a connection to a stage. victim is to be closed for it; err says
// that the connection itself is one too many.
func (w *crowding) move(c *serverConn, to stage) (victim *serverConn, err error) {
	w.leave(c)
	switch to {
	case stageShaking:
		if w.shakes.n >= max(mostLobby, w.max/2) {
			victim = w.shakes.worst()
		}
		w.shakes.add(c)
	case stageFresh:
		if w.fresh.n+w.proven >= w.max*3/4 && w.fresh.n >= w.lobby {
			victim = w.fresh.worst()
		}
		w.fresh.add(c)
	case stageProven:
		if w.proven >= w.max && !c.info.Load().Site { // what has the site's key is let in
			return nil, fmt.Errorf("%d connections stand, the limit", w.proven)
		}
		w.proven++
	}
	c.stage = to
	return victim, nil
}

// leave takes a connection out.
func (w *crowding) leave(c *serverConn) {
	switch c.stage {
	case stageShaking:
		w.shakes.remove(c)
	case stageFresh:
		w.fresh.remove(c)
	case stageProven:
		w.proven--
	}
	c.stage = stageNone
}

// move brings a connection to a stage, and makes room for it.
func (s *Server) move(c *serverConn, to stage) error {
	s.mu.Lock()
	if _, ok := s.conns[c]; !ok { // it was closed meanwhile
		s.mu.Unlock()
		return errPeerClosed
	}
	victim, err := s.crowd.move(c, to)
	s.mu.Unlock()
	if victim != nil {
		s.madeRoom.Add(1)
		s.complain(victim, errMadeRoom)
		victim.close(errMadeRoom)
	}
	return err
}

// complain counts and logs why a connection is closed.
func (s *Server) complain(c *serverConn, why error) {
	s.failed.Add(1)
	if ok, kept := s.bad.may(time.Now()); ok {
		s.log.Warn("rpc: connection closed", "peer", c.peer, "reason", why, "unreported", kept)
	}
}
