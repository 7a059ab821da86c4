package release

// score is what a strategy has done over many sites. Requests are those that
// were under way while old and new could meet: begun between the start of the
// release and the end of the old versions, or not over when it started.
type score struct {
	requests, g1, g2, failed int
	gone                     []float64 // by site: units from the start to the end of the old versions
	added                    []float64 // by request: units more than without a release
	findings                 int       // of package rollouttest
}

// add counts a run beside the run of the same site without a release.
func (s *score) add(run, calm *site) {
	s.gone = append(s.gone, units(run.gone-released))
	s.findings += len(run.broken)
	for i, r := range run.requests {
		if r.begun > run.gone || calm.requests[i].ended < released {
			continue
		}
		s.requests++
		s.g1 += count(r.mixed)
		s.g2 += count(r.mixedSuite)
		s.failed += count(r.err != nil || !r.over)
		if r.err == nil && r.over {
			s.added = append(s.added, units(r.ended-r.begun)-units(calm.requests[i].ended-calm.requests[i].begun))
		}
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
