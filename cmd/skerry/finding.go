package main

import (
	"fmt"

	"github.com/skerry/skerry/internal/quote"
)

// level is the importance of a finding.
type level string

// The levels. Only a problem makes doctor exit with code 1.
const (
	fine    level = "ok"
	hint    level = "note"    // worth knowing, needs no action
	problem level = "PROBLEM" // needs an action
)

// finding is one result of doctor.
type finding struct {
	Area  string     `json:"area"`
	Level level      `json:"level"`
	Text  quote.Safe `json:"text"`
	Do    quote.Safe `json:"do,omitempty"` // the action to take
}

// findings collects the results of one part of doctor.
type findings struct {
	area string
	list []finding
}

func (f *findings) fine(format string, args ...any) {
	f.list = append(f.list, finding{f.area, fine, quote.Sprintf(format, args...), ""})
}

func (f *findings) hint(do quote.Safe, format string, args ...any) {
	f.list = append(f.list, finding{f.area, hint, quote.Sprintf(format, args...), do})
}

func (f *findings) problem(do quote.Safe, format string, args ...any) {
	f.list = append(f.list, finding{f.area, problem, quote.Sprintf(format, args...), do})
}

// printFindings prints the findings by area, and how many problems there are. The
// error carries exit code 1 when there is a problem.
func (a *app) printFindings(list []finding) error {
	problems := 0
	for _, f := range list {
		if f.Level == problem {
			problems++
		}
	}
	var failed error
	if problems > 0 {
		failed = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		if err := a.printJSON(map[string]any{"problems": problems, "findings": list}); err != nil {
			return err
		}
		return failed
	}
	area := ""
	for _, f := range list {
		if f.Area != area {
			area = f.Area
			a.printf("%s\n", area)
		}
		a.item(fmt.Sprintf("  %-8s ", f.Level), "%s", f.Text)
		if f.Do != "" {
			a.item("           → ", "%s", f.Do)
		}
	}
	switch problems {
	case 0:
		a.printf("\nNothing must be done.\n")
	case 1:
		a.printf("\nOne problem must be dealt with.\n")
	default:
		a.printf("\n%d problems must be dealt with.\n", problems)
	}
	return failed
}
