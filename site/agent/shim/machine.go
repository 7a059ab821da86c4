package shim

import (
	"errors"
	"time"
)

// action is what the machine wants done, in order.
type action int

const (
	actStart  action = iota // start the program; answer with started or ended
	actSignal               // ask the program to end
	actKill                 // kill every process of the instance
	actFinish               // the shim ends
)

// killRetry is the time after which processes that did not die are killed again.
const killRetry = 5 * time.Second

var errStopping = errors.New("it is being stopped")

// machine decides what a shim does when. It has no clock and does nothing itself: its owner tells it what happened
// and does what it returns.
type machine struct {
	restarts Restarts
	jitter   func() float64
	phase    Phase // "" before the first start
	since    time.Time
	due      time.Time // when tick has something to do; zero: never
	again    bool      // Stopping ends in a start
	starts   int
}

func (m *machine) enter(p Phase, now, due time.Time) {
	m.phase, m.since, m.due = p, now, due
}

// begin is the first event.
func (m *machine) begin() []action { return m.start() }

func (m *machine) start() []action {
	m.starts++
	return []action{actStart}
}

// started: the program runs.
func (m *machine) started(now time.Time) { m.enter(Up, now, now.Add(forgetAfter)) }

// ended: the program has ended, or could not be started.
func (m *machine) ended(now time.Time) []action {
	switch {
	case m.phase == Stopped:
		return nil
	case m.phase != Stopping:
		ran := time.Duration(0)
		if m.phase == Up {
			ran = now.Sub(m.since)
		}
		delay := m.restarts.Ended(now, ran, m.jitter())
		m.enter(Backoff, now, now.Add(delay))
		return []action{actKill} // what it left
	case m.again:
		m.again = false
		m.restarts = Restarts{}
		m.enter(Backoff, now, now)
		return []action{actKill}
	}
	m.enter(Stopped, now, time.Time{})
	return []action{actKill, actFinish}
}

// stop: the instance is to end for good, killed after grace.
func (m *machine) stop(now time.Time, grace time.Duration) []action {
	m.again = false
	switch m.phase {
	case Up:
		m.enter(Stopping, now, now.Add(grace))
		return []action{actSignal}
	case Stopping:
		if due := now.Add(grace); due.Before(m.due) {
			m.due = due
		}
		return nil
	case Stopped:
		return nil
	}
	m.enter(Stopped, now, time.Time{})
	return []action{actKill, actFinish}
}

// restart: the program is to end and to start again.
func (m *machine) restart(now time.Time, grace time.Duration) ([]action, error) {
	switch m.phase {
	case Up:
		m.again = true
		m.enter(Stopping, now, now.Add(grace))
		return []action{actSignal}, nil
	case Backoff:
		m.restarts = Restarts{}
		m.due = now
		return nil, nil
	case Stopping:
		if m.again {
			return nil, nil
		}
	}
	return nil, errStopping
}

// tick is due at m.due.
func (m *machine) tick(now time.Time) []action {
	if m.due.IsZero() || now.Before(m.due) {
		return nil
	}
	m.due = time.Time{}
	switch m.phase {
	case Backoff:
		return m.start()
	case Stopping:
		m.due = now.Add(killRetry)
		return []action{actKill}
	}
	return nil // Up: a crash loop is over, which the owner shows
}

// looping reports a crash loop.
func (m *machine) looping(now time.Time) bool {
	up := time.Duration(0)
	if m.phase == Up {
		up = now.Sub(m.since)
	}
	return m.restarts.CrashLooping(up)
}
