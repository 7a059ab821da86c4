package postgres

import (
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// A URL with several hosts leads to the one that takes writes. The primary of
// such a group may change: what was one becomes a standby, mostly by a restart
// that ends its connections, but a pooler or a server that is set read-only
// keeps them.

// readOnlyNow is the server's code for a write that it does not take, as a
// standby or as one that is read-only.
const readOnlyNow = "25006"

var (
	errStandby = errors.New("connected to a server that takes no writes; looking for one that does")
	errDemoted = errors.New("the server takes no writes any more")
)

// firstLook is how long the first server that takes no writes is used.
const firstLook = 2 * time.Second

// lookElsewhere has the session end after a while when its server takes no
// writes, to try all hosts again. After each that takes none the time is half as
// long again, up to a heartbeat: to connect costs a server more than to be read.
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

// promoted takes in that a server which took no writes does now.
func (s *session) promoted() {
	s.standby, s.readOnly, s.next = false, false, time.Now()
	s.lookElsewhere()
}

// demoted reports that the server has become one that takes no writes, and
// that another one may take them.
func (s *session) demoted(err error) bool {
	return sqlState(err) == readOnlyNow && !s.readOnly && severalHosts(s.r.conn)
}

// explainReadOnly says what the server's refusal of a write means.
func explainReadOnly(err error) error {
	if sqlState(err) != readOnlyNow {
		return err
	}
	return unavailable(fmt.Errorf("the server takes no writes now, as a standby or because it is read-only: %w", err))
}
