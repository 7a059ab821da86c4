package release

// pins is lazy pinning by response headers: the first reply of a service tells
// the caller which version it was, and from then on the request's calls carry
// that pin. A request without a pin goes by what its process holds for the newest
// version. The old version goes when every process has been told and all
// requests that have met it have returned to their gateways.
type pins struct {
	plain
	told map[*process]bool
	all  bool
}

// pinned is what a span knows: service to version.
type pinned map[string]string

func (s *pins) of(p *span) pinned {
	if p.memo == nil {
		known := pinned{}
		if p.parent != nil {
			for k, v := range s.of(p.parent) {
				known[k] = v
			}
		}
		p.memo = known
	}
	return p.memo.(pinned)
}

func (s *pins) release() {
	for _, m := range s.world.modules {
		s.startNew(m)
	}
	open := 0
	for _, p := range s.procs {
		open++
		s.tell(p, func() {
			s.told[p] = true
			if open--; open == 0 {
				s.all = true
			}
		})
	}
	s.wait()
}

// wait stops the old versions when no request can come back, as far as the gateways know.
func (s *pins) wait() {
	for _, r := range s.requests {
		for _, m := range s.world.modules {
			if !s.all || !r.over && r.versions[m] == old {
				s.After(message, s.wait)
				return
			}
		}
	}
	s.retireAll(s.world.modules)
}

func (s *pins) route(p *span, service string, _ uint64, to func(string, error)) {
	version := s.of(p)[service]
	if version == "" && s.released(service) {
		version = old
		if s.told[p.process] {
			version = fresh
		}
	}
	to(version, nil)
}

func (s *pins) receive(q *span, then func(error)) {
	s.of(q)[q.process.service] = q.process.version
	then(nil)
}

// returned takes over the pins that the reply brings.
func (s *pins) returned(p, q *span, err error) {
	if err == nil {
		for k, v := range s.of(q) {
			s.of(p)[k] = v
		}
	}
}
