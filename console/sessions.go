package console

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// sessionsPage answers: which browsers are signed in, and what may they do?
type sessionsPage struct {
	Sessions []sessionRow `json:"sessions"`
	Shown    []sessionRow `json:"-"`
	Pager    pager        `json:"-"`
}

type sessionRow struct {
	ID      string    `json:"id"` // the beginning of the hash of its cookie
	Name    string    `json:"name"`
	Role    role      `json:"role"`
	By      string    `json:"by"`
	Address string    `json:"address"`
	Begun   time.Time `json:"begun"`
	Seen    time.Time `json:"seen"`
	Ends    time.Time `json:"ends"`
	Signs   bool      `json:"signs"` // by the key that is unlocked at the console's terminal
	Own     bool      `json:"own"`
}

const sessionIDSize = 8 // bytes that tell sessions apart

func (c *handler) sessionsPage(r *http.Request) (any, error) {
	own := actorOf(r).session
	d := c.doors
	d.mu.Lock()
	d.sweep()
	var list []sessionRow
	for _, s := range d.sessions {
		row := sessionRow{ID: hex.EncodeToString(s.id[:sessionIDSize]), Name: s.name, Role: s.role, By: s.by,
			Address: s.addr.String(), Begun: s.begun, Seen: s.seen, Ends: s.ends, Signs: s.terminal, Own: s == own}
		list = append(list, row)
	}
	d.mu.Unlock()
	slices.SortFunc(list, func(a, b sessionRow) int { return b.Seen.Compare(a.Seen) })
	p := sessionsPage{Sessions: list}
	p.Shown, p.Pager = paged(list, r)
	return p, nil
}

// endSession is the action of ending a session.
func (c *handler) endSession(_ context.Context, _ actor, form url.Values) (outcome, error) {
	id, err := hex.DecodeString(form.Get("session"))
	if err != nil || len(id) != sessionIDSize {
		return outcome{}, refuse("sessions.gone")
	}
	d := c.doors
	d.mu.Lock()
	var found *session
	for _, s := range d.sessions {
		if [sessionIDSize]byte(s.id[:]) == [sessionIDSize]byte(id) {
			found = s
		}
	}
	d.mu.Unlock()
	if found == nil || !d.end(found.id) {
		return outcome{}, refuse("sessions.gone")
	}
	return outcome{Said: say("sessions.ended", "name", found.name), Before: found.name + " " + form.Get("session")}, nil
}
