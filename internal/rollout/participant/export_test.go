package participant

import "github.com/skerry/skerry/internal/rollout"

// Ledger and Span are for tests that play a whole site from outside.
type (
	Ledger = ledger
	Span   = span
)

// Begin counts a span. origin names the work: service.method, or a job.
func (l *ledger) Begin(g rollout.Generation, origin string) *span {
	s := &span{}
	s.begin(l.begin(class{generation: g, origin: origin}))
	return s
}

func (l *ledger) Report(round uint64, until rollout.Generation) (held []rollout.Inflight, answered, after uint64) {
	return l.report(round, until)
}

func (s *span) HandOff() bool { return s.handOff() }

func (s *span) Release() { s.release() }
