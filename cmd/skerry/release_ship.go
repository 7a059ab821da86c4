package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// shipping is the command line of ship.
type shipping struct {
	module
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
		RunE: a.inRelease(f, func(ctx context.Context, to releases, args []string) error {
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

func (a *app) releaseShip(ctx context.Context, to releases, f *releaseFlags, sh shipping, names []string) error {
	manifest, err := readManifest(sh.file)
	if err != nil {
		return usagef("%w", err)
	}
	s, r, err := stepSession(ctx, to)
	if err != nil {
		return err
	}
	modules, names, err := sh.modules(s, r, manifest, names)
	if err != nil {
		return usagef("%w", err)
	}
	var plan []string
	for _, name := range names {
		if left := r.Settings[name][checkKey]; left != "" {
			a.note("%s: the settings of the release name a command, %q. It is not run: no command is taken from "+
				"the site",
				name, left)
		}
		plan = append(plan, shipPlan(name, modules[name], r)...)
	}
	if err := a.confirm(f, plan...); err != nil {
		return err
	}
	for i, name := range names {
		next, err := a.shipOne(ctx, to, r, name, modules[name], sh.wait)
		if err != nil {
			return notShipped(err, names[:i], names[i:])
		}
		r = next
	}
	if slices.ContainsFunc(r.Modules, func(m rollout.Module) bool { return m.Strategy.Exclusive() }) {
		a.note("No preview of %s: it begins when the old version has stopped.",
			versions(exclusives(r), func(m rollout.Module) string { return m.New }))
	}
	if len(concurrents(r).Modules) == 0 {
		return a.stepped(r, "Next: skerry release commit, or skerry release rollback")
	}
	return a.stepped(r, "Verifiers meet "+versions(concurrents(r),
		func(m rollout.Module) string { return m.New })+" by "+howToPreview(r)+".",
		"Next: try it, then skerry release commit, or skerry release rollback")
}

// notShipped adds the remaining modules to the error when one of several failed.
func notShipped(err error, done, left []string) error {
	if len(done)+len(left) == 1 {
		return err
	}
	state := "no module is shipped"
	if len(done) > 0 {
		state = "shipped: " + strings.Join(done, ", ") + "; not shipped: " + strings.Join(left, ", ")
	}
	code := exitProblem
	if e, ok := errors.AsType[*exitError](failedStep(err)); ok {
		code = e.code
	}
	return &exitError{code, quote.Errorf("%w\n%s\nNext: mend it, and then: skerry release ship %s", err, state,
		strings.Join(left, " "))}
}

// howToPreview describes how a request reaches the preview.
func howToPreview(r rollout.Release) string {
	return fmt.Sprintf("the mark %s (browsers: cookie %s=%s)", r.Mark, gateway.PreviewCookie, r.Mark)
}

// modules returns the modules to ship, and their order.
func (sh shipping) modules(s siteState, r rollout.Release, manifest map[string]module,
	names []string) (map[string]module, []string, error) {
	if len(names) == 0 || slices.Equal(names, []string{"all"}) {
		names = keysOf(manifest)
		for name, values := range r.Settings { // bounds alone need no ship
			if values["version"] != "" {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return nil, nil, errors.New("nothing to ship: name a module, or list modules in release.yaml or " +
				"by skerry release config put")
		}
		slices.Sort(names)
		names = slices.Compact(names)
	}
	if len(names) > 1 && (sh.Version != "" || sh.Old != "" || sh.Check != "") {
		return nil, nil, errors.New(
			"--version, --old and --check are of one module; name one, or put them into release.yaml")
	}
	log, err := s.log()
	if err != nil {
		return nil, nil, err
	}
	out := map[string]module{}
	for _, name := range names {
		m := sh.module.or(moduleOf(r.Settings[name])).or(manifest[name])
		if rule, known := log.Rule(name); known {
			m.Old = rule.Version
		}
		if m, err = complete(s, name, m); err != nil {
			return nil, nil, err
		}
		out[name] = m
	}
	return out, names, nil
}

// complete fills in the values that no source has set, and checks the module.
func complete(s siteState, name string, m module) (module, error) {
	if m.Version == "" {
		return m, fmt.Errorf("ship %s: which version? --version, or skerry release config put %s version=…", name, name)
	}
	if err := errors.Join(checkNames(name, m), checkSettings(m.settings())); err != nil {
		return m, fmt.Errorf("ship %s: %w", name, err)
	}
	if m.Old == "" {
		others := slices.DeleteFunc(s.running(name), func(v string) bool { return v == m.Version })
		if len(others) == 0 {
			return m, fmt.Errorf("ship %s: no process offers another version of it that could serve now; there "+
				"are %s. A service that is new needs no release: start it", name,
				sortedOr(s.offered(), "no services with a version"))
		}
		if len(others) > 1 {
			return m, fmt.Errorf("ship %s: which version serves now? listed are %s; say --old", name,
				sortedOr(others, "none with a version"))
		}
		m.Old = others[0]
	}
	if m.exclusive() && m.Check != "" {
		return m, fmt.Errorf("ship %s: there is nothing to check: %s may not run before %s has stopped (strategy %s); "+
			"leave the check out", name, m.Version, m.Old, m.Strategy)
	}
	if m.Old == m.Version {
		return m, fmt.Errorf("ship %s: %s serves already", name, m.Version)
	}
	if m.Wish == 0 {
		m.Wish, m.counted = max(1, len(s.up(name, m.Old))), true
	}
	return m, nil
}

// checkNames returns an error for names that no instance can have.
func checkNames(name string, m module) error {
	if err := registry.CheckName("the module", name); err != nil {
		return err
	}
	var errs []error
	if m.Version != "" {
		errs = append(errs, registry.CheckName("the version", m.Version))
	}
	if m.Old != "" {
		errs = append(errs, registry.CheckName("the old version", m.Old))
	}
	return errors.Join(errs...)
}

func shipPlan(name string, m module, r rollout.Release) []string {
	if m.exclusive() {
		return []string{fmt.Sprintf("have %s/%s ready; it may not run beside %s, so it begins after commit, when that "+
			"has stopped (strategy %s)", name, m.Version, m.Old, m.Strategy)}
	}
	plan := []string{fmt.Sprintf("wait for %s of %s/%s", count(m.Wish, "instance", "s"), name, m.Version)}
	if m.Check != "" {
		plan = append(plan, fmt.Sprintf("check it by: %q", m.Check))
	}
	return append(plan, fmt.Sprintf("let verifiers (mark %s) meet %s/%s; all other requests stay with %s", r.Mark,
		name, m.Version, m.Old))
}

func (a *app) shipOne(ctx context.Context, to releases, r rollout.Release, name string, m module,
	wait time.Duration) (rollout.Release, error) {
	if !m.exclusive() {
		addrs, err := a.awaitInstances(ctx, to, name, m, wait)
		if err != nil {
			return r, err
		}
		if m.Check != "" {
			if err := a.runCheck(ctx, name, m, r, addrs); err != nil {
				return r, err
			}
		}
	}
	told, err := m.shipped(name)
	if err != nil {
		return r, err
	}
	if own := m.bounds(r.Settings[name]); len(own) > 0 {
		if r, err = to.Put(ctx, name, own); err != nil {
			return r, err
		}
		a.note("%s: bounds kept in the release: %s", name, tagText(own))
	}
	next, err := to.Ship(ctx, told)
	if err == nil {
		a.note("%s/%s: shipped", name, m.Version)
	}
	return next, err
}

// instancesEvery is the time between two checks of the lists.
const instancesEvery = 500 * time.Millisecond

// awaitInstances returns when the wished number of instances is listed and answers.
func (a *app) awaitInstances(ctx context.Context, to releases, name string, m module,
	wait time.Duration) ([]string, error) {
	said := ""
	for began, end := time.Now(), time.Now().Add(wait); ; {
		s, err := to.State(ctx)
		if err != nil {
			return nil, err
		}
		up, unwell := s.well(ctx, to, name, m.Version)
		if m.counted && len(up) < m.Wish { // a counted instance may have been dead already
			old, _ := s.well(ctx, to, name, m.Old)
			m.Wish = min(m.Wish, max(1, len(old)))
		}
		line := strings.TrimSpace(fmt.Sprintf("%s/%s: %d of %d up %s", name, m.Version, len(up), m.Wish,
			strings.Join(append(slices.Clone(up), unwell...), ", ")))
		if line != said {
			said = line
			a.note("%s", line)
		}
		if len(up) >= m.Wish {
			return up, nil
		}
		a.passing("%s/%s: waiting for %s, for %s; %s left", name, m.Version, count(m.Wish-len(up), "instance", "s"),
			age(time.Since(began)), age(time.Until(end)))
		if !time.Now().Before(end) {
			return nil, problemf("ship %s: %d of %d instances of %s are up after %s%s; start them, look at "+
				"skerry ls %s, or wish for fewer",
				name, len(up), m.Wish, m.Version, durationText(wait), listed(unwell), name)
		}
		if err := run.Sleep(ctx, instancesEvery); err != nil {
			return nil, problemf("ship %s: interrupted while it waited for %s/%s; it is not shipped",
				name, name, m.Version)
		}
	}
}

func listed(unwell []string) string {
	if len(unwell) == 0 {
		return ""
	}
	return "; listed, but not well: " + strings.Join(unwell, ", ")
}

// well returns the instances of a version that are up and answer. It returns the listed
// ones that do not answer separately, with the reason.
func (s siteState) well(ctx context.Context, to releases, service, version string) (up, unwell []string) {
	silent := map[string]bool{}
	for _, m := range s.Members {
		silent[m.Process] = m.Silent != ""
	}
	for _, in := range s.Instances {
		switch {
		case in.Service != service || in.Version != version:
		case !isUp(in):
			unwell = append(unwell, fmt.Sprintf("%s (%s)", in.Addr, in.State))
		case silent[in.Owner]:
			unwell = append(unwell, in.Addr+" (its process does not answer)")
		default:
			at := reach.Address(in.Addr, in.Tags, ownNetworks())
			if err := to.Connect(ctx, at); err != nil {
				unwell = append(unwell, fmt.Sprintf("%s (%v)", in.Addr, err))
				continue
			}
			up = append(up, in.Addr)
		}
	}
	return up, unwell
}

// runCheck runs the module's check in the shell, with its output on stderr.
func (a *app) runCheck(ctx context.Context, name string, m module, r rollout.Release, addrs []string) error {
	shell, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	limit, err := parseCheckTime(m.Checking)
	if err != nil {
		return err
	}
	began := time.Now()
	checking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(checking, shell, flag, m.Check)
	c.Env = append(os.Environ(), m.environment(name, r, addrs)...)
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
