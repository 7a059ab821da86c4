package main

import (
	"fmt"

	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/words"
)

// level is the importance of a finding. Only a problem makes doctor exit with code 1.
type level = doctor.Level

const (
	fine    = doctor.Fine
	hint    = doctor.Hint
	problem = doctor.Problem
)

// finding is one result of doctor.
type finding = doctor.Finding

// findings collects the results of one part of doctor.
type findings struct {
	area string
	list []finding
}

func (f *findings) fine(format string, args ...any) {
	f.list = append(f.list, finding{Area: f.area, Level: fine, Text: quote.Sprintf(format, args...)})
}

func (f *findings) hint(do quote.Safe, format string, args ...any) {
	f.list = append(f.list, finding{Area: f.area, Level: hint, Text: quote.Sprintf(format, args...), Do: do})
}

func (f *findings) problem(do quote.Safe, format string, args ...any) {
	f.list = append(f.list, finding{Area: f.area, Level: problem, Text: quote.Sprintf(format, args...), Do: do})
}

// printFindings prints the findings by area, and how many problems there are. The
// error carries exit code 1 when there is a problem.
func (a *app) printFindings(list []finding) error {
	problems := doctor.Problems(list)
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
		a.printFinding(f.Level, f.Text, f.Do)
	}
	a.printSum(problems)
	return failed
}

// printFinding prints one finding with its cure, if it has one.
func (a *app) printFinding(l level, text, do quote.Safe) {
	lead := fmt.Sprintf("  %-8s ", l)
	if a.lang == words.Chinese {
		lead = "  " + a.lang.Format("level "+string(l)) + "     " // a Chinese letter takes two columns
	}
	a.item(lead, "%s", text)
	if do != "" {
		a.item("           → ", "%s", do)
	}
}

// printSum says how many problems there are.
func (a *app) printSum(problems int) {
	switch problems {
	case 0:
		a.printf("\nNothing must be done.\n")
	case 1:
		a.printf("\nOne problem must be dealt with.\n")
	default:
		a.printf("\n%d problems must be dealt with.\n", problems)
	}
}
