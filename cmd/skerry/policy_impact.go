package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/policytry"
)

// previewPolicy prints what a change would have done, before the operator is asked. A change goes on without it.
func (a *app) previewPolicy(ctx context.Context, s *policychange.Site, e policylog.Entry, f *policyFlags) {
	if a.flags.json || f.yes || e.Origin == "confirm" {
		return // no person is asked, or what is asked about is in force
	}
	tried, err := s.Try(ctx, e.Text, policychange.PlanNames(e))
	if err != nil {
		a.note("what it would have done is not known: %v", err)
		return
	}
	a.printImpact(policychange.ImpactOf(tried), false)
}

// shownEffects is how many effects a preview shows.
const shownEffects = 8

// printImpact prints what a policy would have done, whole with examples.
func (a *app) printImpact(i policychange.Impact, whole bool) {
	if i.Processes == 0 {
		a.item("", "What it would have done is not known, as no process answers for its calls.")
		a.printSilent(i)
		return
	}
	span := a.lang.Format("5 minutes")
	if i.Seconds < policytry.Window {
		span = age(time.Duration(i.Seconds) * time.Second)
	}
	a.item("", "Had it held for the last %s (%d of %s answered):", span, i.Processes,
		count(i.Processes+len(i.Silent), "process", "es"))
	shown := i.Effects
	if !whole {
		shown = shown[:min(len(shown), shownEffects)]
	}
	if len(shown) == 0 {
		a.item("  ", "no recorded call would have been treated otherwise")
	}
	for _, e := range shown {
		a.item("  ", "%s  %s", e.Service, e.Title(a.lang))
		a.item("      ", "%s", e.Sentence(a.lang))
		if whole {
			for _, x := range e.Examples {
				a.item("      ", "%s", x.Text(a.lang))
			}
		}
	}
	if more := len(i.Effects) - len(shown) + i.More; more > 0 {
		a.item("  ", "and %d more: skerry policy try --json", more)
	}
	if i.Younger > 0 {
		a.item("  ", "Running for less than 5 minutes: %s, the youngest since %s.",
			count(i.Younger, "process", "es"), age(time.Duration(i.Shortest)*time.Second))
	}
	if i.Others > 0 {
		a.item("  ", "Nothing is said of %s: there are more kinds of calls than a process remembers.",
			count(int(i.Others), "call", "s"))
	}
	if i.Cut > 0 {
		a.item("  ", "%s did not get through all calls within a second.", count(i.Cut, "process", "es"))
	}
	for _, key := range i.NotObeyed {
		a.item("  ", "%s is not understood by some processes.", key)
	}
	a.printSilent(i)
}

// printSilent names the processes that have said nothing.
func (a *app) printSilent(i policychange.Impact) {
	names := slices.Sorted(maps.Keys(i.Silent))
	for _, name := range names[:min(len(names), shownEffects)] {
		a.item("  ", "%s: %s", name, i.Silent[name])
	}
	if more := len(names) - shownEffects; more > 0 {
		a.item("  ", "and %d more do not answer", more)
	}
}
