package participant

import "github.com/skerry/skerry/internal/rollout"

// Expire makes the process refuse tokens of generations before g, in incoming
// and outgoing calls. Their traces have passed the maximum age after a change
// of the rules. It lasts until the process ends.
func (a *Agent) Expire(g rollout.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().Expire(g))
	a.ledger.wake()
}

// ExpireOutside is Expire for tokens of callers that have not proved to belong
// to the site. Any program can make such a call and keep it open.
func (a *Agent) ExpireOutside(g rollout.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().ExpireOutside(g))
	a.ledger.wake()
}

// ExpireEmpty makes the process refuse tokens of the empty log, if its log has
// an entry. A trace that begins with the empty log now has missed the site's
// rules.
func (a *Agent) ExpireEmpty() {
	if first := a.Since(rollout.Generation{}); len(first) > 0 {
		a.Expire(first[0].Generation)
	}
}
