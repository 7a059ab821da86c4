package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/refusal"
)

// refusedStats prints every running process's refusals since its start.
func (a *app) refusedStats(ctx context.Context) error {
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	a.look(ctx, n, "")
	list, silent, err := control.AllRefusals(ctx, n)
	if err != nil {
		return unreachablef("%w", err)
	}
	if len(list)+len(silent) == 0 {
		return unreachablef("no process of the site answers; see skerry ls and skerry doctor")
	}
	return a.printRefused(list, silent)
}

// refusedProcess is a process in the document of stats --refused.
type refusedProcess struct {
	control.Refusals
	Up float64 `json:"up_s"`
}

// refusedKind describes a kind in the document of stats --refused.
type refusedKind struct {
	What string `json:"what"`
	Do   string `json:"do"`
}

func (a *app) printRefused(list []control.Refusals, silent map[string]error) error {
	names := kindsOf(list)
	if a.flags.json {
		doc := struct {
			Processes []refusedProcess       `json:"processes"`
			Kinds     map[string]refusedKind `json:"kinds"`
			Silent    map[string]string      `json:"silent,omitempty"`
		}{[]refusedProcess{}, map[string]refusedKind{}, map[string]string{}}
		for _, r := range list {
			doc.Processes = append(doc.Processes, refusedProcess{r, r.Up.Seconds()})
		}
		for _, name := range names {
			k := refusal.Of(name)
			doc.Kinds[name] = refusedKind{k.What, k.Do}
		}
		for process, err := range silent {
			doc.Silent[process] = err.Error()
		}
		return a.printJSON(doc)
	}
	var rows [][]string
	for _, name := range names {
		for _, r := range list {
			if n := r.Kinds[name]; n > 0 {
				rows = append(rows, []string{name, strconv.FormatInt(n, 10), r.Process, age(r.Up)})
			}
		}
	}
	if len(rows) == 0 {
		a.printf("None of %s has refused anything since it was started.\n", count(len(list), "process", "es"))
	} else {
		a.printTable([]string{"REFUSED", " TIMES", "BY", " UP"}, rows)
	}
	for _, name := range names {
		k := refusal.Of(name)
		a.printf("\n")
		a.item("", "%s: %s.", k.Name, k.What)
		if name == refusal.LANKey {
			a.printOtherKey(list)
		}
		a.item("  → ", "%s", k.Do)
	}
	for _, process := range slices.Sorted(maps.Keys(silent)) {
		a.note("%s does not tell: %v", process, policychange.Silence(silent[process]))
	}
	return nil
}

// printOtherKey names the hosts that use another key now, each once.
func (a *app) printOtherKey(list []control.Refusals) {
	said := map[string]bool{}
	for _, r := range list {
		for _, k := range r.OtherKey {
			if key := k.Host + " " + k.Addr.String(); !said[key] {
				said[key] = true
				a.item("  ", "from %s, which calls itself %q, %s ago", k.Addr.String(), k.Host, age(time.Since(k.Last)))
			}
		}
	}
}

// kindsOf returns the kinds with counts. Kinds that may mean an attack come first.
func kindsOf(list []control.Refusals) []string {
	all := map[string]bool{}
	for _, r := range list {
		for name, n := range r.Kinds {
			all[name] = all[name] || n > 0
		}
	}
	maps.DeleteFunc(all, func(_ string, happened bool) bool { return !happened })
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(refusal.Rank(a), refusal.Rank(b)), strings.Compare(a, b))
	})
}

// describeRefused reports how often each kind has happened, and at which process most.
// The counts begin at the start of each process, so they prove no present problem. Another
// key in use now is a problem, which examineKey reports.
func describeRefused(f *findings, list []control.Refusals) {
	now := slices.ContainsFunc(list, func(r control.Refusals) bool { return len(r.OtherKey) > 0 })
	for _, name := range kindsOf(list) {
		if name == refusal.LANKey && now {
			continue
		}
		k := refusal.Of(name)
		var all int64
		var most *control.Refusals
		at := 0
		for i := range list {
			n := list[i].Kinds[name]
			if n == 0 {
				continue
			}
			all += n
			at++
			if most == nil || n > most.Kinds[name] {
				most = &list[i]
			}
		}
		where := quote.Sprintf("counted by %s in the %s since its start", most.Process, age(most.Up))
		if at > 1 {
			where = quote.Sprintf("counted by %d processes since their starts, most by %s: %d in %s", at, most.Process,
				most.Kinds[name], age(most.Up))
		}
		f.hint(quote.Safe(quote.Text(k.Do)), "%d %s; %s", all, k.What, where)
	}
}
