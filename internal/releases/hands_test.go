package releases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// oneSite is a site of which only the hands are asked.
type oneSite struct {
	Operations
	hands Hands
}

func (s oneSite) Hands() Hands { return s.hands }

// noted are hands that note the moves.
type noted struct {
	moves []string
	err   error
}

func (h *noted) Plan(_ context.Context, _ string, moves ...Move) (Order, error) {
	return Order{Do: func(context.Context) ([]string, error) {
		for _, m := range moves {
			h.moves = append(h.moves, fmt.Sprintf("%s: start %s like %s, stop %s", m.Service, m.Start, m.Like, m.Stop))
		}
		return nil, h.err
	}}, nil
}

func (h *noted) Troubles(context.Context, string, string) []Trouble { return nil }

func TestHandover(t *testing.T) {
	const forward, back = "dev: start v2 like v1, stop [v1]", "dev: start v1 like v2, stop [v2]"
	leave := func(v string) operator.Progress {
		return operator.Progress{Step: "leave", Service: "dev", Version: v, Runs: []string{"alpha/11/a"}}
	}
	begin := func(v string) operator.Progress { return operator.Progress{Step: "begin", Service: "dev", Version: v} }
	for name, c := range map[string]struct {
		hears []operator.Progress
		want  []string
	}{
		"once":                {[]operator.Progress{leave("v1"), leave("v1"), begin("v2")}, []string{forward}},
		"the old one is gone": {[]operator.Progress{begin("v2"), begin("v2")}, []string{forward}},
		"back":                {[]operator.Progress{leave("v2"), begin("v1")}, []string{back}},
		"there and back": {[]operator.Progress{leave("v1"), begin("v2"), leave("v2"), begin("v1")},
			[]string{forward, back}},
		"others are left alone": {[]operator.Progress{{Step: "leave", Note: "alpha/11/a does not answer"},
			{Step: "drain", Service: "dev"}, {Step: "moment", Service: "dev", Version: "v1"},
			{Step: "leave", Service: "auth", Version: "v1"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := &noted{}
			r := rollout.Release{Name: "r1", Modules: []rollout.Module{{Service: "dev", Old: "v1", New: "v2",
				Strategy: rollout.Blocking}}}
			o := newHandover(oneSite{hands: h}, Teller{Note: func(string, ...any) {}}, r)
			for _, p := range c.hears {
				o.progress(t.Context(), p)
			}
			if !slices.Equal(h.moves, c.want) {
				t.Errorf("the agents were told %q, want %q", h.moves, c.want)
			}
		})
	}
}

// TestHandoverByHand: without agents, or when they can't be told, the operator is told what to do.
func TestHandoverByHand(t *testing.T) {
	var said []string
	tell := Teller{Note: func(format string, values ...any) { said = append(said, fmt.Sprintf(format, values...)) }}
	r := rollout.Release{Modules: []rollout.Module{{Service: "dev", Old: "v1", New: "v2"}}}
	p := operator.Progress{Step: "leave", Service: "dev", Version: "v1"}
	newHandover(oneSite{}, tell, r).progress(t.Context(), p)
	if len(said) > 0 {
		t.Errorf("without agents: %q", said)
	}
	newHandover(oneSite{hands: &noted{err: errors.New("no key")}}, tell, r).progress(t.Context(), p)
	if text := strings.Join(said, "\n"); !strings.Contains(text, "no key\nStop dev/v1 and start dev/v2 yourself") {
		t.Errorf("said %q", text)
	}
}
