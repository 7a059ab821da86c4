package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The exit codes; doc.go says what each stands for.
const (
	exitOK          = 0
	exitProblem     = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// exitError is an error with its exit code. A nil err means that the output
// has told everything already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func problemf(format string, args ...any) error {
	return &exitError{exitProblem, fmt.Errorf(format, args...)}
}

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func unreachablef(format string, args ...any) error {
	return &exitError{exitUnreachable, fmt.Errorf(format, args...)}
}

// report prints an error and returns the exit code. What failed before a
// command began is a usage error: only the parser of the command line runs
// that early.
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
	text := strings.TrimSpace(err.Error())
	switch {
	case text == "":
	case a.flags.json:
		line, _ := json.Marshal(map[string]any{"error": text, "exit": code}) // a string and a number
		fmt.Fprintf(a.err, "%s\n", line)
	default:
		fmt.Fprintf(a.err, "skerry: %s\n", text)
	}
	return code
}
