package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
)

// printJSON writes one document.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(quote.JSONWriter(a.out))
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printLine writes one line of JSON, for streams of events.
func (a *app) printLine(v any) error {
	e := json.NewEncoder(quote.JSONWriter(a.out))
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printf prints its arguments quoted. Only the format's line breaks are printed as
// line breaks.
func (a *app) printf(format string, args ...any) { fmt.Fprint(a.out, a.say(format, args...)) }

// note prints a text for the reader on stderr, beside the result.
func (a *app) note(format string, args ...any) {
	a.wipe()
	if !a.flags.json {
		fmt.Fprint(a.err, a.say(format+"\n", args...))
	}
}

// age returns a duration as tables show it, with one or two units.
func age(d time.Duration) string { return number.Age(d) }

// latency returns the duration of a call, with three digits.
func latency(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return number.Latency(d)
}

// tagText returns k=v,k=v in the order of the keys.
func tagText(tags map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, k+"="+tags[k])
	}
	return strings.Join(parts, ",")
}

// sortedOr returns the names joined in order, or none for an empty list.
func sortedOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// count returns a number with its noun, in the plural unless n is 1.
func count(n int, noun, plural string) string { return number.Count(n, noun, plural) }
