package release

// quiescence is Kramer and Magee's: gateways hold requests that could need a
// member of the release; when those under way have returned, the members are
// replaced, and the gateways let the requests go.
type quiescence struct {
	plain
	told map[*process]bool
	gate gate
}

func (s *quiescence) begin(root *span, run func()) {
	if s.told[root.process] && s.touches(root.request.entry) {
		s.gate.pass(run)
		return
	}
	run()
}

func (s *quiescence) release() {
	open := len(s.gateways)
	for _, g := range s.gateways {
		s.tell(g, func() {
			s.told[g] = true
			if open--; open == 0 {
				s.After(message, s.wait)
			}
		})
	}
}

// wait replaces the members when no request that could need them is under way.
func (s *quiescence) wait() {
	for _, r := range s.requests {
		if !r.over && r.spans > 0 && s.touches(r.entry) {
			s.After(message, s.wait)
			return
		}
	}
	s.swap(0)
}

func (s *quiescence) swap(i int) {
	if i == len(s.world.modules) {
		s.finish()
		s.After(message, s.gate.open)
		return
	}
	m := s.world.modules[i]
	s.startNew(m)
	s.retire(m, func() { s.swap(i + 1) })
}
