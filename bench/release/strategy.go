package release

import (
	"slices"

	"github.com/skerry/skerry/internal/rollout"
)

// strategy is a way to replace the old versions of the released services.
type strategy interface {
	release() // the operator begins
	// a gateway begins a request, or holds it
	begin(root *span, run func())
	// a caller chooses a version, or waits
	route(p *span, service string, pick uint64, to func(version string, err error))
	// a call leaves; accepted when it is counted elsewhere
	sending(p *span) (accepted func())
	receive(q *span, then func(error)) // a callee is asked
	// a caller has the reply of a callee
	returned(p, q *span, err error)
	ended(p *span) // a span has ended
	token(p *span) (rollout.Token, rollout.Generation)
}

// plain is the strategy of contenders that do nothing: any instance will do.
type plain struct{ *site }

func (plain) release()                                                  {}
func (plain) begin(_ *span, run func())                                 { run() }
func (plain) route(_ *span, _ string, _ uint64, to func(string, error)) { to("", nil) }
func (plain) sending(*span) func()                                      { return func() {} }
func (plain) receive(_ *span, then func(error))                         { then(nil) }
func (plain) returned(_, _ *span, _ error)                              {}
func (plain) ended(*span)                                               {}
func (plain) token(*span) (rollout.Token, rollout.Generation)           { return noToken, rollout.Generation{} }

// released reports whether the service is a member of the release.
func (s *site) released(service string) bool { return slices.Contains(s.world.modules, service) }

// touches reports whether work of a service can lead to a member of the release.
func (s *site) touches(service int) bool {
	for _, m := range s.world.modules {
		if s.world.graph.Reaches(service, slices.Index(s.world.graph.Names, m)) {
			return true
		}
	}
	return false
}

// gate holds callers back until it is opened.
type gate struct {
	opened  bool
	waiting []func()
}

func (g *gate) pass(do func()) {
	if g.opened {
		do()
		return
	}
	g.waiting = append(g.waiting, do)
}

func (g *gate) open() {
	g.opened = true
	waiting := g.waiting
	g.waiting = nil
	for _, do := range waiting {
		do()
	}
}
