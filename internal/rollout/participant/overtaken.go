package participant

import "github.com/skerry/skerry/internal/rollout"

// Overtaken reports whether a stream of the trace, which a version of a service
// serves here, should be opened again. One reason is that the newest rules send a
// trace with the same seed and mark to another version. The other reason is that
// a release has switched services since. The stream's handler may still call
// their old versions, and would hold these back.
func (t *Trace) Overtaken(service, version string) bool {
	log, token := t.origin.agent.Log(), t.Token()
	if token.Generation == log.Last() {
		return false
	}
	now, ok, err := log.Resolve(service, log.Token(token.Seed, token.Mark))
	if err == nil && ok && now != version {
		return true
	}
	r, _ := log.Session()
	return r.Since != (rollout.Generation{}) && token.Generation.Before(r.Since) && t.mayCall()
}

// mayCall reports whether the process's work on the trace may still call a
// service.
func (t *Trace) mayCall() bool {
	if p := t.restriction.Load(); p != nil {
		return len(p.services) > 0
	}
	_, calls := t.origin.agent.graph.read()
	return len(calls) > 0
}
