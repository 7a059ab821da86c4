package releases

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// TestErrorsHaveTheirKind: what an operator can do about an error depends on its kind, which stays when more is said
// around it.
func TestErrorsHaveTheirKind(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Kind
		says string
	}{
		{problemf("no"), Problem, "no"},
		{usagef("which?"), Usage, "which?"},
		{quote.Errorf("ship: %w", unreachablef("away")), Unreachable, "ship: away"},
		{fmt.Errorf("%w: x", operator.ErrGuard), Problem, "x"},
		{fmt.Errorf("%w: h/1", operator.ErrSilent), Unreachable, "repeat it with --dead HOST/PID"},
		{fmt.Errorf("%w: y", operator.ErrNoMoment), Problem, "y"},
		{errors.New("the network is away"), Unreachable, "the network is away"},
		{notShipped(problemf("no"), []string{"a"}, []string{"b"}), Problem, "shipped: a; not shipped: b"},
	} {
		if e := Explain(c.err); e.Kind != c.want || !strings.Contains(e.Error(), c.says) {
			t.Errorf("%v: kind %d, %q; want kind %d, %q", c.err, e.Kind, e, c.want, c.says)
		}
	}
}

// TestErrorsAreQuoted: texts of other processes in errors of a step are visible as a whole.
func TestErrorsAreQuoted(t *testing.T) {
	const hostile = "x\x1b[2J\u202ey"
	for _, err := range []error{
		turned(context.Background(), rollout.Release{Name: hostile}, fmt.Errorf("%w: %s", operator.ErrGuard, hostile)),
		notShipped(errors.New(hostile), []string{hostile}, []string{hostile}),
		problemf("%s", hostile),
	} {
		if text := Explain(err).Error(); strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, `\x1b[2J`) {
			t.Errorf("%q", text)
		}
	}
}
