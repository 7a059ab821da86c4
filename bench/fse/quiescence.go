package fse

import "time"

// quiescence is Kramer and Magee's: all components that depend on the target
// are told to begin nothing new; when their last requests are over, the target
// is at rest.
func (s *site) quiescence() result {
	ready := asked
	for _, r := range s.requests {
		if r.begin < s.passive(r) {
			ready = max(ready, r.end+s.distance(r.service))
		}
	}
	var lost time.Duration
	for _, r := range s.requests {
		if again := ready + s.distance(r.service); r.begin >= s.passive(r) && r.begin < again {
			lost += min(again, r.end) - r.begin
		}
	}
	return result{ready - asked, lost}
}

// passive is when the component of a request has been told.
func (s *site) passive(r *timeline) time.Duration { return asked + s.distance(r.service) }
