package participant

import "github.com/skerry/skerry/internal/rollout"

// Overtaken reports whether a stream that the trace has opened at a version of a
// service here should be opened again: the newest rules give a trace like it
// another version, or they have switched one that the stream's handler may still
// call, so that it would hold back the old one.
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
