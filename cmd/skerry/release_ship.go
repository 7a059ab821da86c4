package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
)

// shipping is the command line of ship.
type shipping struct {
	releases.Module
	file string
	wait time.Duration // limit of the wait for the wished instances
}

func (a *app) releaseShipCommand(f *releaseFlags) *cobra.Command {
	var sh shipping
	c := &cobra.Command{
		Use:   "ship [MODULE… | all]",
		Short: "Wait for the new version of a module, check it, and let verifiers meet it",
		Long: `Waits until the wished number of instances of the new version is listed and
answers (you, or the site's supervisor, start them), runs the module's check
command, and lets verifiers meet the new version: requests with the mark that
status shows. Everybody else stays with the old versions.

What the command line leaves out is taken from the settings of the release
(skerry release config put), then from the manifest, release.yaml. The check
command is taken from --check or the manifest only, never from the release:
  modules:
    auth: {version: v2, wish: 2, check: ./probe auth}
    proc: {version: v2}
all, or no name, ships every module of the settings and the manifest. Bounds for
the guard of commit --ramp (max_failures, max_p99, min_calls, guard: off) are
kept in the release, for whoever commits it.

A module whose versions may never run at once, because they own a device, has
the strategy blocking: its new version is not waited for, and begins after
commit, when the old one has stopped; calls to it wait meanwhile, up to their
deadlines. waiting is the same, begun at a moment in which no request needs it;
when none comes within --patience it is begun all the same, or, by --give-up,
not at all.

The check runs by the shell with SKERRY_RELEASE, SKERRY_MARK, SKERRY_MODULE,
SKERRY_VERSION, SKERRY_OLD, SKERRY_ADDRS, and the settings as
SKERRY_SETTING_KEY. These values come from the site: a script quotes them
("$SKERRY_SETTING_KEY"). What it writes is shown. Status 0 within --check-time
ships; anything else does not.`,
		Example: "  skerry release ship auth --version v2 --wish 2 --check './probe auth'\n  skerry release ship all",
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, args []string) error {
			return a.releaseShip(ctx, to, f, sh, args)
		}),
	}
	c.Flags().StringVar(&sh.Version, "version", "", "`VERSION` to ship")
	c.Flags().StringVar(&sh.Old, "old", "",
		"`VERSION` that serves now (needed when several are listed and no rule names one)")
	c.Flags().IntVar(&sh.Wish, "wish", 0, "`INSTANCES` to wait for (default: as many as the old version has)")
	c.Flags().StringVar(&sh.Check, "check", "", "`COMMAND` that must succeed")
	c.Flags().StringVar(&sh.Checking, "check-time", "", "how long the check may take (default 1m)")
	c.Flags().StringVar(&sh.Strategy, "strategy", "", "concurrent, blocking or waiting")
	c.Flags().DurationVar(&sh.Patience, "patience", 0, "of the strategy waiting: how long to look for a moment in "+
		"which no request needs the old version (default 30s)")
	c.Flags().BoolVar(&sh.GiveUp, "give-up", false,
		"of the strategy waiting: don't switch when there is no such moment")
	c.Flags().StringVar(&sh.file, "file", "", "manifest `FILE` (default ./release.yaml)")
	c.Flags().DurationVar(&sh.wait, "wait", 5*time.Minute, "how long to wait for the instances")
	spell(c, "wait", sh.wait)
	c.MarkFlagFilename("file", "yaml", "yml")
	c.ValidArgsFunction = a.completeModule
	c.RegisterFlagCompletionFunc("version", a.completeVersion)
	c.RegisterFlagCompletionFunc("old", a.completeVersion)
	c.RegisterFlagCompletionFunc("strategy",
		cobra.FixedCompletions([]string{"concurrent", "blocking", "waiting"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) releaseShip(ctx context.Context, to releases.Operations, f *releaseFlags, sh shipping,
	names []string) error {
	manifest, err := readManifest(sh.file)
	if err != nil {
		return usagef("%w", err)
	}
	step, err := releases.PlanShip(ctx, to, a.teller(), releases.Shipping{Module: sh.Module, Manifest: manifest,
		Wait: sh.wait, RunCheck: a.runCheck}, names)
	return a.step(ctx, f, step, err)
}

// runCheck runs the module's check in the shell, with its output on stderr.
func (a *app) runCheck(ctx context.Context, name string, m releases.Module, r rollout.Release, addrs []string) error {
	shell, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	limit, err := m.CheckTime()
	if err != nil {
		return err
	}
	began := time.Now()
	checking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(checking, shell, flag, m.Check)
	c.Env = append(os.Environ(), m.Environment(name, r, addrs)...)
	c.Stdout, c.Stderr = a.err, a.err
	c.WaitDelay = time.Second // a child of the shell may keep the output open
	a.wipe()
	err = c.Run()
	switch {
	case ctx.Err() != nil:
		return problemf("ship %s: interrupted during the check of %s; %s is not shipped", name, m.Version, name)
	case checking.Err() != nil:
		return problemf("ship %s: the check of %s has not ended within %v: %q; %s is not shipped; give it longer by "+
			"--check-time, or mend it", name, m.Version, limit, m.Check, name)
	case err != nil:
		return problemf("ship %s: the check of %s failed (%w): %q; %s is not shipped",
			name, m.Version, err, m.Check, name)
	}
	a.note("%s/%s: the check passed in %s", name, m.Version, latency(time.Since(began)))
	return nil
}
