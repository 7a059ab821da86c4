package releases

import (
	"errors"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Kind says what an operator can do about an [Error].
type Kind int

// The kinds of errors.
const (
	Problem     Kind = iota // the step is not possible now; the error says what is
	Usage                   // the step was described wrongly
	Unreachable             // processes or the log can't be reached
)

// Error is an error for an operator. Its text has line breaks of its own, and every character of it is visible.
type Error struct {
	Kind Kind
	err  error
}

func (e *Error) Error() string { return string(e.Safe()) }

// Safe returns the text as it is printed.
func (e *Error) Safe() quote.Safe { return quote.Error(e.err) }

func (e *Error) Unwrap() error { return e.err }

func problemf(format string, args ...any) error {
	return &Error{Problem, quote.Errorf(format, args...)}
}

func usagef(format string, args ...any) error { return &Error{Usage, quote.Errorf(format, args...)} }

func unreachablef(format string, args ...any) error {
	return &Error{Unreachable, quote.Errorf(format, args...)}
}

// Explain returns an error of a step with its kind, and with what helps against a silent process.
func Explain(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{e.Kind, err}
	}
	kind := Unreachable
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			kind = Problem
		}
	}
	switch {
	case kind == Problem:
	case errors.Is(err, operator.ErrSilent):
		err = quote.Errorf("%w\nNext: bring them back and repeat the step, or, for a process that is dead for "+
			"certain, repeat it with --dead HOST/PID", err)
	case errors.Is(err, operator.ErrNoMoment):
		kind = Problem
	}
	return &Error{kind, quote.Errorf("%w", err)}
}

// refusals are errors that a repetition does not mend.
var refusals = []error{
	operator.ErrOpen, operator.ErrRestored, operator.ErrForked, operator.ErrTooOld, operator.ErrUnseen,
	operator.ErrDatabaseKept, operator.ErrGuard, operator.ErrUnjudged,
	rollout.ErrStep, rollout.ErrPromised, rollout.ErrFork, rollout.ErrUnproven, rollout.ErrNeeds,
}
