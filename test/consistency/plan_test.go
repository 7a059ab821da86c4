//go:build linux

package consistency

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// plan is the task of a callee: to wait, to make calls, to wait again, and to answer.
type plan struct {
	To       string        `json:"to"`
	Hold     time.Duration `json:"hold,omitempty"` // before its calls
	Calls    []plan        `json:"calls,omitempty"`
	AtOnce   bool          `json:"atOnce,omitempty"` // its calls are made side by side
	Rest     time.Duration `json:"rest,omitempty"`   // after its calls
	Until    string        `json:"until,omitempty"`  // before its calls, it waits until this file exists
	OneWay   bool          `json:"oneWay,omitempty"` // it is sent one-way, without a waiting caller
	Patience time.Duration `json:"patience,omitempty"`
	Stubborn bool          `json:"stubborn,omitempty"` // it continues after its caller has given up
	Forgets  bool          `json:"forgets,omitempty"`  // its calls don't belong to the trace
	Optional bool          `json:"optional,omitempty"` // its caller continues when it has failed
}

// call returns a plan that visits a service, which then makes its calls in order.
func call(to string, calls ...plan) plan { return plan{To: to, Calls: calls} }

// atOnce returns a call with calls of its own side by side.
func atOnce(to string, calls ...plan) plan { return plan{To: to, Calls: calls, AtOnce: true} }

// post returns a one-way call.
func post(to string, calls ...plan) plan { return plan{To: to, Calls: calls, OneWay: true} }

// held makes the callee wait before its calls.
func (p plan) held(d time.Duration) plan { p.Hold = d; return p }

// until makes the callee wait until the test opens the gate, before its calls.
func (p plan) until(g gate) plan { p.Until = string(g); return p }

// rested makes the callee wait after its calls.
func (p plan) rested(d time.Duration) plan { p.Rest = d; return p }

// givenUp returns a call that its caller gives up after so long, while the callee continues.
func (p plan) givenUp(after time.Duration) plan {
	p.Patience, p.Stubborn, p.Optional = after, true, true
	return p
}

// waitedFor returns a call with a caller that waits so long for the answer.
func (p plan) waitedFor(d time.Duration) plan { p.Patience = d; return p }

// stubborn continues after its caller has gone.
func (p plan) stubborn() plan { p.Stubborn = true; return p }

// forgets calls outside of the trace.
func (p plan) forgets() plan { p.Forgets = true; return p }

// chain posts one message after the other: each service posts to the next.
func chain(hold time.Duration, services ...string) plan {
	p := plan{To: services[0], OneWay: true, Hold: hold, Stubborn: true}
	if len(services) > 1 {
		p.Calls = []plan{chain(hold, services[1:]...)}
	}
	return p
}

// gate is the path of a file that ends a wait when it exists.
type gate string

// gate returns a closed gate.
func (s *site) gate(name string) gate { return gate(filepath.Join(s.dir, name+".open")) }

func (s *site) opens(g gate) { s.t.Helper(); must(s.t, os.WriteFile(string(g), nil, 0o600)) }

// errand is a plan with its trace and its sender.
type errand struct {
	Trace  string `json:"trace"`
	Parent string `json:"parent,omitempty"` // span that sent it; "" for users
	Plan   plan   `json:"plan"`
}

func (e errand) String() string {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings, numbers and booleans only
	}
	return string(text)
}
