package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/quote"
)

// The exit codes. doc.go gives the meaning of each.
const (
	exitOK          = 0
	exitProblem     = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// exitError is an error with its exit code. A nil err means that the output is
// already complete.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return string(e.Safe()) }

// Safe returns the text as it is printed. It keeps only the text's own line breaks
// and those between the problems of a configuration.
func (e *exitError) Safe() quote.Safe {
	if e.err == nil {
		return ""
	}
	return quote.Error(e.err)
}

func (e *exitError) Unwrap() error { return e.err }

func problemf(format string, args ...any) error {
	return &exitError{exitProblem, quote.Errorf(format, eachMistake(args)...)}
}

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, quote.Errorf(format, eachMistake(args)...)}
}

func unreachablef(format string, args ...any) error {
	return &exitError{exitUnreachable, quote.Errorf(format, eachMistake(args)...)}
}

// eachMistake puts each mistake of a configuration on its own line.
func eachMistake(args []any) []any {
	out := slices.Clone(args)
	for i, a := range args {
		if wrong, ok := a.(*config.Error); ok {
			out[i] = configError{wrong}
		}
	}
	return out
}

// configError prints each mistake of a configuration on a line of its own.
type configError struct{ wrong *config.Error }

func (e configError) Error() string { return e.wrong.Error() }

func (e configError) Unwrap() error { return e.wrong }

func (e configError) Safe() quote.Safe {
	var lines []string
	for _, p := range e.wrong.Problems {
		lines = append(lines, string(quote.Sprintf("%s", p)))
	}
	return quote.Safe(strings.Join(lines, "\n"))
}

// report prints an error and returns the exit code. An error before the start of a
// command is a usage error, because only the command line parser runs that early.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	a.wipe()
	code := exitProblem
	if !a.started {
		code = exitUsage
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
	}
	text := quote.Safe(a.lang.Sentence(strings.TrimSpace(string(quote.Error(err)))))
	switch {
	case text == "":
	case a.flags.json:
		line, _ := json.Marshal(map[string]any{"error": text, "exit": code}) // a string and a number
		fmt.Fprintln(a.err, string(quote.JSON(line)))
	default:
		fmt.Fprint(a.err, quote.Sprintf("skerry: %s\n", text))
	}
	return code
}
