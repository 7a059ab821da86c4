package policychange

import (
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/words"
)

// Change is an entry of the log in the output of show and history.
type Change struct {
	Number   uint64    `json:"number"`
	Hash     string    `json:"hash"`
	At       time.Time `json:"at,omitzero"`
	By       string    `json:"by,omitempty"`
	Signer   string    `json:"signer,omitempty"`     // "" when no trusted key has signed it
	Unsigned string    `json:"not_signed,omitempty"` // why
	Why      string    `json:"why,omitempty"`
	Origin   string    `json:"origin,omitempty"`
	Undoes   uint64    `json:"text_of,omitempty"` // number of the policy that came back
	Confirm  float64   `json:"confirm_s,omitempty"`
	Although []string  `json:"although,omitempty"`
	Plans    []Plan    `json:"plans_on,omitempty"`
	Ended    []string  `json:"plans_off,omitempty"` // that were on in the entry before
	Keeps    uint64    `json:"confirms,omitempty"`  // number of the policy that it confirms
	Lost     bool      `json:"lost,omitempty"`      // to another one of the same number
	InForce  bool      `json:"in_force,omitempty"`  // now
}

// Plan is a plan that is switched on.
type Plan struct {
	Name  string  `json:"name"`
	For   float64 `json:"for_s,omitempty"` // 0: until it is switched off
	Since uint64  `json:"since"`           // number that switched it on
}

// Describe describes an entry.
func (s *Site) Describe(e policylog.Entry) Change {
	c := Change{Number: e.Number, Hash: e.Hash(), At: e.At, By: e.By, Why: e.Why, Origin: e.Origin,
		Undoes: e.Undoes, Confirm: e.Confirm.Seconds(), Although: e.Although, InForce: e.Hash() == s.Now.Hash()}
	var err error
	if c.Signer, err = control.PolicySignerOf(s.Node, e); err != nil {
		c.Unsigned = err.Error()
	}
	for _, on := range e.On {
		c.Plans = append(c.Plans, Plan{on.Name, on.For.Seconds(), on.Since})
	}
	before, known := s.State.Log.Find(e.Previous)
	if known && e.Origin == "confirm" {
		c.Keeps = before.Number
	}
	for _, was := range before.On {
		if !slices.ContainsFunc(e.On, func(on policylog.On) bool { return on.Name == was.Name }) {
			c.Ended = append(c.Ended, was.Name)
		}
	}
	for _, l := range s.State.Log.Lost() {
		c.Lost = c.Lost || l.Entry.Hash() == e.Hash()
	}
	return c
}

// About is what a person wants to know of a change beside its author.
func (c Change) About(l words.Language) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, l.Sprintf(format, args...)) }
	if c.Why != "" {
		parts = append(parts, c.Why)
	}
	if c.Lost {
		add("lost to another one at once")
	}
	if c.Undoes > 0 {
		add("text of %d", c.Undoes)
	}
	if c.Confirm > 0 {
		add("to be confirmed within %s", number.Duration(time.Duration(c.Confirm*float64(time.Second))))
	}
	if c.Keeps > 0 {
		add("confirms %d", c.Keeps)
	}
	for _, p := range c.Plans {
		add("plan %s on", p.Name)
	}
	for _, name := range c.Ended {
		add("plan %s off", name)
	}
	if len(c.Although) > 0 {
		add("although %s", strings.Join(c.Although, ", "))
	}
	return strings.Join(parts, "; ")
}
