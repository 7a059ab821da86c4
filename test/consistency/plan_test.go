//go:build linux

package consistency

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// plan is what one call asks its callee to do: to wait, to make calls, to wait
// again, and to answer.
type plan struct {
	To       string        `json:"to"`
	Hold     time.Duration `json:"hold,omitempty"` // before its calls
	Calls    []plan        `json:"calls,omitempty"`
	AtOnce   bool          `json:"atOnce,omitempty"` // its calls are made side by side
	Rest     time.Duration `json:"rest,omitempty"`   // after its calls
	Until    string        `json:"until,omitempty"`  // it waits, before its calls, until there is a file at this path
	OneWay   bool          `json:"oneWay,omitempty"` // it is sent, and no caller waits for it
	Patience time.Duration `json:"patience,omitempty"`
	Stubborn bool          `json:"stubborn,omitempty"` // it goes on when its caller has given up
	Forgets  bool          `json:"forgets,omitempty"`  // its calls don't belong to the trace
	Optional bool          `json:"optional,omitempty"` // its caller goes on when it has failed
}

// call is a plan to visit a service, which then makes its calls in order.
func call(to string, calls ...plan) plan { return plan{To: to, Calls: calls} }

// atOnce is a call that makes its own calls side by side.
func atOnce(to string, calls ...plan) plan { return plan{To: to, Calls: calls, AtOnce: true} }

// post is a one-way call.
func post(to string, calls ...plan) plan { return plan{To: to, Calls: calls, OneWay: true} }

// held makes the callee wait before its calls.
func (p plan) held(d time.Duration) plan { p.Hold = d; return p }

// until makes the callee wait until the test opens the gate, before its calls.
func (p plan) until(g gate) plan { p.Until = string(g); return p }

// rested makes the callee wait after its calls.
func (p plan) rested(d time.Duration) plan { p.Rest = d; return p }

// given up is a call that its caller waits for so long only, and goes on without;
// the callee goes on, too.
func (p plan) givenUp(after time.Duration) plan {
	p.Patience, p.Stubborn, p.Optional = after, true, true
	return p
}

// waitedFor is a call with a caller that waits so long for the answer.
func (p plan) waitedFor(d time.Duration) plan { p.Patience = d; return p }

// stubborn goes on when its caller is gone.
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

// gate is the path of a file: once it exists, a wait ends.
type gate string

// gate is closed yet.
func (s *site) gate(name string) gate { return gate(filepath.Join(s.dir, name+".open")) }

func (s *site) opens(g gate) { s.t.Helper(); must(s.t, os.WriteFile(string(g), nil, 0o600)) }

// errand is a plan on its way.
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
