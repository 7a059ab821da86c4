package console

import (
	"log/slog"
	"time"
)

// record is an entry of the audit log.
type record struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"` // of the table of actions; in and out for the sessions
	Name    string    `json:"name"`
	Role    role      `json:"role"`
	Address string    `json:"address"`
	Reason  string    `json:"reason,omitempty"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Outcome string    `json:"outcome"` // done, refused, shown (as a command to confirm)
	Why     string    `json:"why,omitempty"`
}

// recordOf is the record of an action.
func recordOf(a action, by actor, reason string, o outcome, err error) record {
	r := record{At: time.Now(), Action: a.Name, Name: by.Name, Role: by.Role, Address: by.Addr.String(), Reason: reason,
		Before: o.Before, After: o.After, Outcome: "done"}
	switch {
	case err != nil:
		r.Outcome, r.Why = "refused", err.Error()
	case o.Confirm != nil:
		r.Outcome, r.Why = "shown", o.Confirm.Code
	}
	return r
}

// auditLog keeps records.
type auditLog struct{ log *slog.Logger }

func (l *auditLog) add(r record) {
	l.log.Info("console: "+r.Action, "outcome", r.Outcome, "name", r.Name, "role", r.Role.String(),
		"address", r.Address, "reason", r.Reason, "why", r.Why)
}
