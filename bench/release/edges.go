package release

import "slices"

// edges is version consistency by future and past edges, set up on demand
// (FSE 2011). When they are valid, a request that has used a member of the
// release stays with the old versions, any other meets the new ones; the old
// ones go when no process with a past has a future. Work goes on while the edges
// are set up, and their messages cost nothing, which is in their favour.
//
// As in the original, messages are taken to be reliable, a request to be over
// when its root is, and a component to be one process: of work that still runs,
// only that process knows. Replicas of one number share what they know.
type edges struct {
	plain
	valid bool
}

// past is what is known of a request's past.
type past struct {
	hosts  map[uint64]bool // known to the replicas of that number
	known  bool            // to all
	flying int             // calls that have not been accepted
}

func (s *edges) past(r *request) *past {
	if r.memo == nil {
		r.memo = &past{hosts: map[uint64]bool{}}
	}
	return r.memo.(*past)
}

// release sets up the edges: the question goes up, hop by hop, the answers come down.
func (s *edges) release() {
	for _, m := range s.world.modules {
		s.startNew(m)
	}
	open := 0
	for _, p := range s.procs {
		if i := slices.Index(s.world.graph.Names, p.service); i >= 0 && !s.touches(i) {
			continue
		}
		open++
		s.tell(p, func() {
			if open--; open == 0 {
				s.After(message, func() { s.valid = true; s.wait() })
			}
		})
	}
}

func (s *edges) route(p *span, service string, pick uint64, to func(string, error)) {
	if !s.released(service) {
		to("", nil)
		return
	}
	host, known := pick%uint64(s.world.replicas), s.past(p.request)
	if s.valid && !known.known && !known.hosts[host] && !s.below(p) {
		to(fresh, nil)
		return
	}
	known.hosts[host] = true
	to(old, nil)
}

// below reports whether an old member of the release is among the callers.
func (s *edges) below(p *span) bool {
	return p != nil && (s.released(p.process.service) && p.process.version == old || s.below(p.parent))
}

func (s *edges) sending(p *span) func() {
	known := s.past(p.request)
	known.flying++
	return func() { known.flying-- }
}

// ended tells every process of the past.
func (s *edges) ended(p *span) {
	if s.released(p.process.service) && p.process.version == old {
		s.After(message, func() { s.past(p.request).known = true })
	}
}

// wait stops the old versions when no process with a past has a future.
func (s *edges) wait() {
	for _, r := range s.requests {
		if known := s.past(r); !r.over && len(known.hosts) > 0 &&
			(known.flying > 0 || slices.ContainsFunc(r.live, s.future)) {
			s.After(message, s.wait)
			return
		}
	}
	s.After(message, func() { s.retireAll(s.world.modules) }) // the news that the edges are gone
}

// future reports whether a span is in an old member, or may yet call one.
func (s *edges) future(p *span) bool {
	if s.released(p.process.service) && p.process.version == old {
		return true
	}
	for _, step := range p.work.Steps[p.step:] {
		for _, c := range step {
			if s.touches(c.Work.Service) {
				return true
			}
		}
	}
	return false
}
