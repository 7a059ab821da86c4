package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/releases"
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
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, args []string) error {
			values, err := readSettings(args[1:], files)
			if err != nil {
				return usagef("%w", err)
			}
			step, err := releases.PlanPut(ctx, to, args[0], values)
			return a.step(ctx, f, step, err)
		}),
	}
	put.Flags().StringArrayVar(&files, "file", nil, "keep the content of the `FILE` under its name; may be repeated")
	get := &cobra.Command{
		Use:   "get MODULE [KEY]",
		Short: "Print settings of a module; of one key the bare value",
		Long: "Prints settings of a module, a line each. Of one KEY it prints the bare value;\n" +
			"control characters in it are made visible on a terminal only.",
		Args: cobra.RangeArgs(1, 2),
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, args []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			r, err := s.Open()
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
	return values, releases.CheckSettings(values)
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
