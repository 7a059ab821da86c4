package doctor

import (
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/quote"
)

// Operators reports the operators that may release.
func Operators(path string) []Finding {
	l := List{Area: "Trust"}
	if path == "" {
		l.Hint("let operators sign with keys of their own: skerry operator add, and site.operators on every host",
			"no operators are named: any process of the site can release")
		return l.All
	}
	list, err := keyfile.ReadOperators(path)
	if err != nil {
		what := quote.Safe("a service of this configuration does not start; one that runs goes by the operators that " +
			"it has read last")
		if keyfile.NoOperator(err) {
			what = "no operator may release here: no step is obeyed, and a service of this configuration does not start"
		}
		l.Problem("mend it, or copy it from another host", "site.operators: %v: %s", err, what)
		return l.All
	}
	var names []string
	for _, op := range list {
		names = append(names, op.Name)
	}
	l.Fine("%s: releases of %s are obeyed; every host needs the same file", path, sortedOr(names, "no operator"))
	return l.All
}
