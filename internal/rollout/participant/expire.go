package participant

import "github.com/skerry/skerry/internal/rollout"

// Expire makes the process refuse tokens of generations before g, in incoming
// and outgoing calls, until it ends. It is called when traces of such tokens
// have passed the maximum age that a trace may have after a change of the rules.
func (a *Agent) Expire(g rollout.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().Expire(g))
	a.ledger.wake()
}

// ExpireOutside is Expire for tokens of callers that have not proved to belong
// to the site. These may expire sooner, because any program can make such a call
// and keep it open.
func (a *Agent) ExpireOutside(g rollout.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.Store(a.log.Load().ExpireOutside(g))
	a.ledger.wake()
}

// ExpireEmpty makes the process refuse tokens of the empty log, if its own log
// has an entry: a trace with such a token has missed the rules of the site.
func (a *Agent) ExpireEmpty() {
	if first := a.Since(rollout.Generation{}); len(first) > 0 {
		a.Expire(first[0].Generation)
	}
}
