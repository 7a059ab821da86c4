package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/statedir"
)

func (a *app) releaseConfigCommand(f *releaseFlags) *cobra.Command {
	var files []string
	put := &cobra.Command{
		Use:   "put MODULE KEY=VALUE…",
		Short: "Keep settings of a module in the release; KEY= takes one out",
		Long: `Keeps settings in the release, where every operator and every supervisor finds
them (skerry release config get). ship knows these keys:
  version   version to ship               wish      instances to wait for
  old       version that serves now       strategy  concurrent, blocking, waiting
  patience  of waiting (ship --help)      give_up   true or false
  check_time    how long the check may take (1m)
and commit these, for the guard of this module alone:
  max_failures  1%                        max_p99   200ms
  min_calls     to call it well           guard     off: not watched
All others are handed to the check command as SKERRY_SETTING_KEY in its
environment. The command itself is no setting: every process of the site may
write to the log, so ship takes it from --check or release.yaml only.`,
		Example: "  skerry release config put auth version=v2 wish=2\n" +
			"  skerry release config put auth --file auth.yaml",
		Args: cobra.MinimumNArgs(1),
		RunE: a.inRelease(f, func(ctx context.Context, to releases, args []string) error {
			values, err := readSettings(args[1:], files)
			if err != nil {
				return usagef("%w", err)
			}
			return a.releasePut(ctx, to, f, args[0], values)
		}),
	}
	put.Flags().StringArrayVar(&files, "file", nil, "keep the content of the `FILE` under its name; may be repeated")
	get := &cobra.Command{
		Use:   "get MODULE [KEY]",
		Short: "Print settings of a module; of one key the bare value",
		Long: "Prints settings of a module, a line each. Of one KEY it prints the bare value;\n" +
			"control characters in it are made visible on a terminal only.",
		Args: cobra.RangeArgs(1, 2),
		RunE: a.inRelease(f, func(ctx context.Context, to releases, args []string) error {
			_, r, err := openSession(ctx, to)
			if err != nil {
				return err
			}
			if len(r.Settings[args[0]]) == 0 {
				return problemf("release %s keeps no setting of %s; there are some of: %s", r.Name, args[0],
					sortedOr(r.Configured(), "none"))
			}
			return a.printSettings(r.Settings[args[0]], args[1:])
		}),
	}
	put.ValidArgsFunction, get.ValidArgsFunction = a.completeFirst, a.completeFirst
	c := &cobra.Command{Use: "config", Short: "Keep and show settings of modules in the release"}
	c.AddCommand(put, get)
	return c
}

func (a *app) releasePut(ctx context.Context, to releases, f *releaseFlags, module string,
	values map[string]string) error {
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return err
	}
	log, err := s.log()
	if err != nil {
		return err
	}
	if _, err := r.Put(module, values); err != nil {
		return problemf("%w\nNext: %s", err, nextStep(s, r))
	}
	if err := a.confirm(f, putPlan(r, module, values, servicesOf(s, log), len(s.running(module)) > 0)...); err != nil {
		return err
	}
	if r, err = to.Put(ctx, module, values); err != nil {
		return err
	}
	said := []string{fmt.Sprintf("Release %s keeps, of %s: %s.", r.Name, module, settingsText(r.Settings[module]))}
	if r.Settings[module]["version"] != "" {
		said = append(said, "Next: skerry release ship "+module)
	}
	return a.stepped(r, said...)
}

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
			sortedOr(known, "none with a version")))
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
			value = fmt.Sprintf("(%s)", count(len(value), "byte", "s"))
		}
		all = append(all, key+"="+value)
	}
	return cmp.Or(strings.Join(all, ", "), "no setting")
}

func readSettings(pairs, files []string) (map[string]string, error) {
	values := map[string]string{}
	for _, p := range pairs {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q: want KEY=VALUE", p)
		}
		values[key] = value
	}
	for _, f := range files {
		text, err := statedir.ReadNamed(f, maxFile)
		if err != nil {
			return nil, err
		}
		values[filepath.Base(f)] = string(text)
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("name what to put: KEY=VALUE or --file")
	}
	return values, checkSettings(values)
}

func (a *app) printSettings(values map[string]string, keys []string) error {
	if len(keys) == 1 {
		value, ok := values[keys[0]]
		if !ok {
			return problemf("no setting %q; there are: %s", keys[0], sortedOr(keysOf(values), "none"))
		}
		return a.out.Value(value)
	}
	if a.flags.json {
		return a.printJSON(values)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		a.printf("%s=%s\n", key, values[key])
	}
	return nil
}
