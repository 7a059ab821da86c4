package releases

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// foreign returns the instances of the outgoing versions that run servers without skerry.
func (s Site) foreign(r rollout.Release) (out []string) {
	for _, in := range s.Instances {
		plain := in.Protocol != "" && in.Protocol != string(registry.ProtocolSkerry)
		if plain && slices.ContainsFunc(r.Modules,
			func(m rollout.Module) bool { return m.Service == in.Service && r.Outgoing(m) == in.Version }) {
			out = append(out, Title(in.Service, in.Version)+" at "+in.Addr)
		}
	}
	return out
}

// DrainText returns one line about a drain.
func DrainText(holders []Holder) string {
	if len(holders) == 0 {
		return "draining: no process holds it back"
	}
	var parts []string
	for _, h := range holders[:min(3, len(holders))] {
		parts = append(parts, h.Process+" "+HolderText(h))
	}
	if more := len(holders) - 3; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return "draining: " + strings.Join(parts, "; ")
}

// HolderText describes how a process holds a version back.
func HolderText(h Holder) string {
	switch h.Why {
	case "silent":
		if h.Least == (rollout.Generation{}) {
			return "does not answer"
		}
		return fmt.Sprintf("does not answer; it went by generation %v last", h.Least)
	case "behind":
		return fmt.Sprintf("goes by generation %v still", h.Least)
	case "holding":
		return heldText(h)
	case "serving":
		if h.Streams > 0 && len(h.Methods) > 0 {
			return fmt.Sprintf("executes %s of %s, among them %s (%s); skerry release clean --cut-streams ends those "+
				"that were told to move", number.Count(h.Calls, "call", "s"), h.Service,
				number.Count(h.Streams, "stream", "s"), strings.Join(h.Methods, ", "))
		}
		if h.Streams > 0 {
			return fmt.Sprintf("executes %s of %s, among them %s; skerry release clean --cut-streams ends those that "+
				"were told to move", number.Count(h.Calls, "call", "s"), h.Service,
				number.Count(h.Streams, "stream", "s"))
		}
		return fmt.Sprintf("executes %s of %s", number.Count(h.Calls, "call", "s"), h.Service)
	}
	return h.Why
}

// heldText describes the oldest work of a process that may still call a version. It gives
// the least age of the work and the path of calls to the version.
func heldText(h Holder) string {
	if h.Inflight == nil {
		return fmt.Sprintf("has requests of generation %v that may call %s", h.Least, h.Service)
	}
	if h.Inflight.Live == 0 { // the work ended after the last question
		return fmt.Sprintf("had requests of generation %v until now, and is asked once more: %s", h.Least,
			strings.Join(h.Path, " → "))
	}
	old := ""
	if h.Inflight.For > 0 {
		old = ", of before " + number.Age(h.Inflight.For) + " ago"
	}
	if h.Inflight.Outside {
		old += ", from outside the site (" + h.Inflight.From + "): they end by themselves, see rollout.outside_hold"
	}
	return fmt.Sprintf("has %s of generation %v%s: %s", number.Count(h.Inflight.Live, "request", "s"), h.Least, old,
		strings.Join(h.Path, " → "))
}
