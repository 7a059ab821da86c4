package participant

import (
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// streamed is a process that serves streams, and a release of its site.
type streamed struct {
	t     *testing.T
	log   *rollout.Log
	rel   rollout.Release
	agent *Agent
}

func newStreamed(t *testing.T, calls ...string) *streamed {
	t.Helper()
	s := &streamed{t: t, log: &rollout.Log{}, agent: mustAgent(t, Saved{}, nil),
		rel: rollout.Release{Name: "r", Mark: "preview", State: rollout.Prepared}}
	s.agent.MayCall(calls...)
	s.step(map[string]rollout.Rule{"feed": {Version: "v1"}, "users": {Version: "v1"}})
	return s
}

// step commits rules, as a step of the release.
func (s *streamed) step(rules map[string]rollout.Rule) {
	s.t.Helper()
	e := s.log.Next("r", rules)
	e.Session = &s.rel
	s.log = mustApply(s.t, s.log, e)
	if err := s.agent.Learn(e); err != nil {
		s.t.Fatal(err)
	}
}

// ship brings version v2 of a service for requests with the mark.
func (s *streamed) ship(service string) {
	s.t.Helper()
	next, rules, err := s.rel.Ship(s.log, rollout.Module{Service: service, Old: "v1", New: "v2"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.rel = next
	s.step(rules)
}

// commit switches the release.
func (s *streamed) commit() {
	s.t.Helper()
	next, rules, err := s.rel.Commit(s.log, rollout.Whole, s.log.Next("", nil).Generation)
	if err != nil {
		s.t.Fatal(err)
	}
	s.rel = next
	s.step(rules)
}

func (s *streamed) overtaken(t *Trace, version string, want bool, what string) {
	s.t.Helper()
	if got := t.Overtaken("feed", version); got != want {
		s.t.Errorf("%s: overtaken %v, want %v", what, got, want)
	}
}

// TestPreviewStaysWhereItWasOpened: a stream with the mark of a preview keeps the version on trial through the switch,
// and one without it moves then.
func TestPreviewStaysWhereItWasOpened(t *testing.T) {
	s := newStreamed(t)
	s.ship("feed")
	marked, plain := s.agent.Begin("job", 1, "preview"), s.agent.Begin("job", 2, "")
	s.ship("users") // a later generation, which changes nothing of feed
	s.overtaken(marked, "v2", false, "with the mark, before the switch")
	s.overtaken(plain, "v1", false, "without it, before the switch")
	s.commit()
	s.overtaken(marked, "v2", false, "with the mark, after the switch")
	s.overtaken(plain, "v1", true, "without it, after the switch")
}

// TestSwitchOfAnotherService: a stream moves when a release switches a service that its handler may still call.
func TestSwitchOfAnotherService(t *testing.T) {
	for what, calls := range map[string][]string{"calls users": {"users"}, "calls nothing": nil} {
		s := newStreamed(t, calls...)
		s.ship("users")
		old, restricted := s.agent.Begin("job", 1, ""), s.agent.Begin("job", 2, "")
		restricted.RestrictCalls()
		s.overtaken(old, "v1", false, what+", before the switch")
		s.commit()
		s.overtaken(old, "v1", calls != nil, what+", after the switch")
		s.overtaken(restricted, "v1", false, what+", with a restriction to nothing")
		s.overtaken(s.agent.Begin("job", 3, ""), "v1", false, what+", opened after the switch")
	}
}
