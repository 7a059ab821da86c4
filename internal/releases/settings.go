package releases

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/rollout"
)

// putPlan describes the kept and the removed settings. It points out possible mistakes: a
// module that no process offers yet, and a key that only the check uses.
func putPlan(r rollout.Release, module string, values map[string]string, known []string, offered bool) []string {
	var plan []string
	kept := maps.Clone(values)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		_, there := r.Settings[module][key]
		switch {
		case values[key] == "" && there:
			plan = append(plan, fmt.Sprintf("take %s of %s out of release %s", key, module, r.Name))
		case values[key] == "":
			plan = append(plan, fmt.Sprintf("take nothing out: release %s keeps no %s of %s", r.Name, key, module))
		}
		if values[key] == "" {
			delete(kept, key)
		}
	}
	if len(kept) > 0 {
		plan = append(plan, fmt.Sprintf("keep in release %s, of %s: %s", r.Name, module, settingsText(kept)))
	}
	if len(kept) > 0 && !offered && !slices.Contains(known, module) {
		plan = append(plan, fmt.Sprintf("keep it for later: NO PROCESS OFFERS %s now, there are %s", module,
			listOr(known, "none with a version")))
	}
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		if !slices.Contains(shipKeys, key) {
			plan = append(plan,
				fmt.Sprintf("hand %s to the check command alone, as %s: ship and commit know no such key",
					key, variableOf(key)))
		}
	}
	return append(plan, "change nothing for any request")
}

// settingsText returns settings in one line, a long value as its size.
func settingsText(values map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := values[key]
		if len(value) > 80 || strings.ContainsAny(value, "\n\r") {
			value = fmt.Sprintf("(%s)", number.Count(len(value), "byte", "s"))
		}
		all = append(all, key+"="+value)
	}
	return cmp.Or(strings.Join(all, ", "), "no setting")
}
