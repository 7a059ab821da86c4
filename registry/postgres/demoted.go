package postgres

import (
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// A session with several hosts in its URL uses the one that takes writes. The primary of such a
// group may become a standby. A restart then mostly ends its connections, but a pooler or a server
// that is set read-only keeps them.

// readOnlyNow is the server's code for a refused write, on a standby or a read-only server.
const readOnlyNow = "25006"

var (
	errStandby = errors.New("connected to a server that takes no writes; looking for one that does")
	errDemoted = errors.New("the server takes no writes any more")
)

// firstLook is how long the session uses the first server that takes no writes.
const firstLook = 2 * time.Second

// lookElsewhere ends the session after a while when its server takes no writes, so that the next
// one tries all hosts. The time grows by half after each such server, up to a heartbeat, because
// connecting costs a server more than reading.
func (s *session) lookElsewhere() {
	switch {
	case !severalHosts(s.r.conn):
	case !s.readOnly:
		s.lookAt, s.patience = time.Time{}, 0
	case s.lookAt.IsZero():
		s.patience = min(max(s.patience*3/2, firstLook), s.r.cfg.Heartbeat)
		s.lookAt = time.Now().Add(run.Jitter(s.patience, 0.5))
	}
}

// promoted records that a server that took no writes takes them now.
func (s *session) promoted() {
	s.standby, s.readOnly, s.next = false, false, time.Now()
	s.lookElsewhere()
}

// demoted reports whether the server has stopped taking writes while the URL names another host
// that may take them.
func (s *session) demoted(err error) bool {
	return sqlState(err) == readOnlyNow && !s.readOnly && severalHosts(s.r.conn)
}

// explainReadOnly adds to a refused write that the server is a standby or read-only.
func explainReadOnly(err error) error {
	if sqlState(err) != readOnlyNow {
		return err
	}
	return unavailable(fmt.Errorf("the server takes no writes now, as a standby or because it is read-only: %w", err))
}
