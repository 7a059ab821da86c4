//go:build linux

package attack

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/wire"
)

// replayedEntries: a stranger brings genuine entries at other times and places.
func replayedEntries(t *testing.T, s *site) {
	first := s.step(t, "v1")
	second := s.li.signed(t, s.entry(t, first.Position(), "v1"))
	third := s.li.signed(t, s.entry(t, second.Position(), "v9"))
	foreign := s.li.signed(t, s.entry(t, first.Position(), "v9", func(e *rollout.Entry) { e.Cluster = "another" }))
	beside := s.li.signed(t, s.entry(t, first.Position(), "v9", func(e *rollout.Entry) { e.Previous = foreign.Hash() }))
	jump := s.li.signed(t, s.entry(t, first.Position(), "v9", func(e *rollout.Entry) { e.Generation.N = 1 << 61 }))
	bearer := s.stranger()
	if s.tls {
		bearer = s.member(t)
	}
	for _, process := range []string{"provider", "consumer"} {
		c := bearer.internal(t, s.addr(process))
		for what, try := range map[string]struct {
			records [][]byte
			codes   []string
		}{
			"a later one alone":        {records(third), []string{"gap"}},
			"in the wrong order":       {records(third, second), []string{"gap", "fork"}},
			"of another cluster":       {records(foreign), []string{"foreign"}},
			"of another place":         {records(beside), []string{"fork"}},
			"with a number far ahead":  {records(jump), []string{"gap", "entry"}},
			"behind one without proof": {records(s.entry(t, second.Position(), "v9")), []string{"gap", "unproven"}},
		} {
			_, err := c.Bring(t.Context(), try.records)
			rulesRefused(t, process+": "+what, err, try.codes...)
		}
		if _, err := c.Bring(t.Context(), records(first)); err != nil {
			t.Errorf("%s: what is known already: %v", process, err)
		}
	}
	s.unmoved(t, first.Position())
}

// hugeRounds: numbers of another process move no number of this one far.
func hugeRounds(t *testing.T, s *site) {
	c, ctx := s.member(t).internal(t, s.addr("provider")), t.Context()
	for _, round := range []int64{-1, -1 << 63} {
		if _, err := c.Report(ctx, round, "0", 0); err == nil {
			t.Errorf("round %d is taken", round)
		}
	}
	var r rollout.Report
	for range 3 {
		b, err := c.Report(ctx, 1<<63-1, "0", 0)
		must(t, err)
		mustJSON(t, b, &r)
	}
	if r.Round > 4<<20 {
		t.Errorf("the process is in round %d", r.Round)
	}
	b, err := c.Report(ctx, int64(r.Round)+1, "0", 0)
	must(t, err)
	next := r.Round + 1
	mustJSON(t, b, &r)
	if r.Round != next {
		t.Errorf("round %d is answered as %d", next, r.Round)
	}
}

// ghosts: processes that do not exist, and the name of one that does.
func ghosts(t *testing.T, s *site) {
	i := s.member(t)
	c, ctx := i.internal(t, s.addr("provider")), t.Context()
	list := func() map[string]*wire.Member {
		all, err := c.Members(ctx)
		must(t, err)
		out := map[string]*wire.Member{}
		for _, m := range all {
			out[fmt.Sprint(m.Owner.Host, "/", m.Owner.Pid, "/", m.Owner.Epoch)] = m
		}
		return out
	}
	before := list()
	for n := range 3 {
		if err := c.Introduce(ctx, &wire.Member{Owner: &wire.Owner{Host: fmt.Sprint("ghost", n), Pid: 1, Epoch: 1},
			Addr: "10.77.0.3:9"}); err == nil {
			t.Error("a ghost is taken")
		}
	}
	for owner, m := range before {
		other := *m
		other.Addr, other.Place = "10.77.0.3:9", new("elsewhere/1")
		if err := c.Introduce(ctx, &other); err == nil {
			t.Errorf("%s is introduced by another process", owner)
		}
		if err := c.Farewell(ctx, m.Owner); err == nil {
			t.Errorf("another process says farewell for %s", owner)
		}
	}
	after := list()
	for owner, m := range before {
		if now := after[owner]; now == nil || now.Addr != m.Addr || now.GetPlace() != m.GetPlace() {
			t.Errorf("%s was %v and is %v", owner, m, now)
		}
	}
	for owner := range after {
		if before[owner] == nil {
			t.Errorf("%s has come", owner)
		}
	}
	s.provider.says(t, 2, "was refused", "what=introduce")
}

// survivesRestart kills the whole site and starts it again from its state.
func survivesRestart(t *testing.T, s *site) {
	at := s.tip(t, "provider")
	if s.operators() {
		at = s.step(t, "v1").Position()
	}
	time.Sleep(100 * time.Millisecond) // the rules are saved right after they are applied
	if s.operators() {
		s.provider.stop(syscall.SIGKILL)
		file := keptRules(t, s)
		forge(t, s, file, at)
		s.provider = s.start("provider", "provider", s.hostOf("provider"))
		s.provider.says(t, 1, "not believed", "aside")
	}
	for _, p := range []**process{&s.provider, &s.consumer} {
		old := *p
		old.stop(syscall.SIGKILL)
		*p = s.start(old.name, old.name, s.hostOf(old.name))
	}
	s.warm()
	lab.Eventually(t, 20*time.Second, func() bool {
		time.Sleep(200 * time.Millisecond)
		return s.tip(t, "provider") == at && s.tip(t, "consumer") == at
	}, func() string { return fmt.Sprintf("the site goes by %v again", at) })
	if _, err := os.Stat(s.path("provider-state")); err != nil {
		t.Error(err)
	}
}

// removedOperator: a key that is removed from the file adds no entry any more. Entries that it
// signed before stay.
func removedOperator(t *testing.T, s *site) {
	past := s.mo.signed(t, s.entry(t, s.tip(t, "provider"), "v1"))
	c := s.member(t).internal(t, s.addr("provider"))
	_, err := c.Bring(t.Context(), records(past))
	must(t, err)
	s.trustOperators(s.li)
	now := past
	lab.Eventually(t, 20*time.Second, func() bool { // the file is read every 5 s
		e := s.mo.signed(t, s.entry(t, now.Position(), "v1"))
		if _, err := c.Bring(t.Context(), records(e)); err != nil {
			rulesRefused(t, "the entry of a removed operator", err, "unproven")
			return true
		}
		now = e
		time.Sleep(100 * time.Millisecond)
		return false
	}, func() string { return "the removed operator's entries are refused" })
	if tip := s.tip(t, "provider"); tip != now.Position() {
		t.Errorf("the log ends with %v, not with %v", tip, now.Position())
	}
	s.unharmed(t, func(t *testing.T) {
		closed := s.li.signed(t, s.entry(t, now.Position(), "v1"))
		_, err := c.Bring(t.Context(), records(closed))
		must(t, err)
	})
}
