package quote

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Sprintf formats like fmt.Sprintf and quotes the text of each argument. Arguments that are Safe,
// or errors of Errorf, stay unchanged.
func Sprintf(format string, args ...any) Safe {
	return Safe(fmt.Sprintf(format, wrapped(args)...))
}

// Errorf is fmt.Errorf with quoted arguments. The error keeps its own line
// breaks when it is printed.
func Errorf(format string, args ...any) error {
	return &quotedError{fmt.Errorf(format, wrapped(args)...)}
}

// quotedError is an error with a Safe text.
type quotedError struct{ err error }

func (e *quotedError) Error() string { return e.err.Error() }
func (e *quotedError) Unwrap() error { return e.err }
func (e *quotedError) Safe() Safe    { return Safe(e.err.Error()) }

// Error is the text of an error on one line. An error with a method Safe() Safe keeps its own
// lines. Libraries put details on lines of their own. Error joins them, because a peer's text may
// also contain a line break.
func Error(err error) Safe {
	if s, ok := err.(interface{ Safe() Safe }); ok {
		return s.Safe()
	}
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, Text(line))
		}
	}
	return Safe(strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": "))
}

// wrapped makes the arguments quote themselves when they are formatted.
func wrapped(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case Safe:
			out[i] = a
		case error:
			out[i] = errorArg{a}
		default:
			out[i] = arg{a}
		}
	}
	return out
}

// arg formats a value by its verb, and quotes the result.
type arg struct{ value any }

func (a arg) Format(f fmt.State, verb rune) {
	io.WriteString(f, Text(fmt.Sprintf(fmt.FormatString(f, verb), a.value)))
}

// errorArg is arg for an error, so that %w wraps it.
type errorArg struct{ err error }

func (a errorArg) Error() string { return string(Error(a.err)) }
func (a errorArg) Unwrap() error { return a.err }

func (a errorArg) Format(f fmt.State, verb rune) {
	switch verb {
	case 'v', 's':
		io.WriteString(f, string(Error(a.err)))
	default:
		io.WriteString(f, Text(fmt.Sprintf(fmt.FormatString(f, verb), a.err)))
	}
}

// Join joins errors, each on lines of its own.
func Join(errs ...error) error {
	var texts []string
	for _, err := range errs {
		if err != nil {
			texts = append(texts, string(Error(err)))
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return &joinedError{errors.Join(errs...), Safe(strings.Join(texts, "\n"))}
}

type joinedError struct {
	error
	text Safe
}

func (e *joinedError) Error() string { return string(e.text) }
func (e *joinedError) Unwrap() error { return e.error }
func (e *joinedError) Safe() Safe    { return e.text }
