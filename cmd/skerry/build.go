package main

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/build"
	"github.com/skerry/skerry/site/project"
)

// buildFlags are the options of a build.
type buildFlags struct {
	projectFlags
	store                    storeFlags
	commit, version, key, by string
	unsigned, quiet          bool
	every                    time.Duration
}

func (a *app) buildCommand() *cobra.Command {
	f := &buildFlags{}
	c := &cobra.Command{
		Use:   "build SERVICE",
		Short: "Make a signed artifact of a commit, by the recipe in its repository",
		Long: `Writes the commit to a fresh directory and runs the steps of .skerry/build.yaml there:
as the user that builder.yaml of the project names, and in a sandbox without network
where bubblewrap is on the host. The outputs become signed artifacts in the store.

  service: auth
  platforms: [linux/amd64, windows/amd64]   # default: that of this host; or [any]
  tools: [go]                               # programs that must be there
  steps: ["make dist"]
  outputs: "dist/${platform}"
  run: {command: ./auth, args: ["-config", "${config}"]}
  timeout: 20m

The version is that of --version, else the tag of the commit, else the beginning of
its hash. Every build leaves a result and a log.`,
		Example: `  skerry build auth
  skerry build auth --commit v15 --key /etc/skerry/builder
  skerry build log 17`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.buildOne(cmd.Context(), f, args[0]) },
	}
	f.projectFlags.register(c)
	f.store.register(c)
	f.signing(c)
	c.Flags().StringVar(&f.commit, "commit", "", "`COMMIT`: a branch, a tag or a hash (default the first branch)")
	c.Flags().StringVar(&f.version, "version", "", "`VERSION` of the artifacts")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "do not print the log as it is written")
	c.AddCommand(a.buildLsCommand(f), a.buildLogCommand(f), a.buildCancelCommand(f), a.buildRunCommand(f))
	return c
}

// signing adds the options of commands that build.
func (f *buildFlags) signing(c *cobra.Command) {
	c.Flags().StringVar(&f.key, "key", "", "`FILE` of the private key, or of the public key of one in ssh-agent "+
		"(default key of builder.yaml)")
	c.Flags().BoolVar(&f.unsigned, "unsigned", false, "do not sign: skerry artifact sign follows")
	c.Flags().StringVar(&f.by, "by", "", "`NAME` that the result shows (default user@host)")
}

// bench is what a build needs besides its order.
type bench struct {
	project *project.Project
	builder *build.Builder
	config  build.Config
	store   *artifact.Store
	signer  artifact.Signer
	close   func()
}

// bench opens project, store and key.
func (f *buildFlags) bench(ctx context.Context, a *app) (*bench, error) {
	p, b, c, err := f.open()
	if err != nil {
		return nil, err
	}
	s, err := f.store.open()
	if err != nil {
		return nil, err
	}
	all := &bench{p, b, c, s, nil, func() {}}
	if f.unsigned {
		return all, nil
	}
	key, err := f.store.signer(ctx, a, cmp.Or(f.key, c.Key), sshsig.Artifact)
	if err != nil {
		return nil, err
	}
	f.store.noteUnlisted(a, key)
	all.signer, all.close = key, func() { key.Close() }
	return all, nil
}

// run builds a commit of a service.
func (b *bench) run(ctx context.Context, service, commit, version, by string, live io.Writer) (build.Result, error) {
	repo, err := b.project.Repository(ctx, service)
	if err != nil {
		return build.Result{}, err
	}
	s := b.project.Services[service]
	return b.builder.Run(ctx, build.Order{Service: service, Repo: repo.Dir(), Source: s.Repo, Recipe: s.Recipe,
		Commit: commit, Version: version, By: by, Store: b.store, Signer: b.signer, Live: live})
}

func (a *app) buildOne(ctx context.Context, f *buildFlags, service string) error {
	b, err := f.bench(ctx, a)
	if err != nil {
		return err
	}
	defer b.close()
	var live io.Writer
	if !a.flags.json && !f.quiet {
		live = flushed{a}
	}
	r, err := b.run(ctx, service, f.commit, f.version, releaseFlags{by: f.by}.operator(), live)
	if err != nil {
		return problemf("%w", err)
	}
	if err := a.printBuild(r); err != nil {
		return err
	}
	if r.Outcome != build.Succeeded {
		return &exitError{code: exitProblem}
	}
	return nil
}

func (a *app) printBuild(r build.Result) error {
	if a.flags.json {
		return a.printJSON(r)
	}
	a.printf("build %s of %s %s in %s\n", strconv.Itoa(r.ID), r.Target, r.Outcome, durationText(tookOf(r)))
	lines := [][2]string{{"why", r.Why}, {"version", r.Version}, {"sandbox", r.Sandbox}, {"by", r.By},
		{"log sha256", r.Log.SHA256}}
	for _, line := range lines {
		if line[1] != "" {
			a.printf("  %-12s %s\n", line[0], line[1])
		}
	}
	if r.Log.Lost > 0 {
		a.printf("  %s of the log are not kept\n", sizeText(r.Log.Lost))
	}
	for _, one := range r.Artifacts {
		a.printf("  %-12s %s\n", one.Platform, one.Digest)
	}
	return nil
}

func tookOf(r build.Result) time.Duration {
	return time.Duration(r.Took * float64(time.Second)).Round(time.Millisecond)
}

func (a *app) buildLsCommand(f *buildFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "ls [SERVICE]",
		Short: "Show the builds with a result that is kept, the last one first",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, b, _, err := f.open()
			if err != nil {
				return err
			}
			all, failed := b.Results()
			if len(args) > 0 {
				all = slices.DeleteFunc(all, func(r build.Result) bool { return r.Service != args[0] })
			}
			if err := a.printBuilds(all); err != nil {
				return err
			}
			if failed != nil {
				return problemf("%w", failed)
			}
			return nil
		},
	}
}

func (a *app) printBuilds(all []build.Result) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"builds": append([]build.Result{}, all...)})
	}
	if len(all) == 0 {
		a.printf("there is no build yet; make one with skerry build SERVICE\n")
		return nil
	}
	var cells [][]string
	for _, r := range all {
		took := ""
		if r.Outcome != build.Running {
			took = durationText(tookOf(r))
		}
		cells = append(cells, []string{strconv.Itoa(r.ID), r.Target, orDash(r.Version), string(r.Outcome),
			r.Began.Local().Format("2006-01-02 15:04:05"), took, r.By, r.Why})
	}
	a.printTable([]string{" BUILD", "TARGET", "VERSION", "OUTCOME", "BEGAN", " TOOK", "BY", "WHY"}, cells)
	return nil
}

// buildID reads the number of a build.
func buildID(text string) (int, error) {
	id, err := strconv.Atoi(text)
	if err != nil || id < 1 {
		return 0, usagef("%q is no number of a build; skerry build ls shows them", text)
	}
	return id, nil
}

func (a *app) buildLogCommand(f *buildFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "log BUILD",
		Short: "Print the log of a build; with --json its result, which has the log's end",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := buildID(args[0])
			if err != nil {
				return err
			}
			_, b, _, err := f.open()
			if err != nil {
				return err
			}
			r, err := b.Result(id)
			if err != nil {
				return problemf("%w", err)
			}
			if a.flags.json {
				return a.printBuild(r)
			}
			log, err := b.OpenLog(id)
			if err != nil {
				return problemf("%w", err)
			}
			defer log.Close()
			if _, err := io.Copy(a.out, log); err != nil {
				return problemf("%w", err)
			}
			return nil
		},
	}
}

func (a *app) buildCancelCommand(f *buildFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "cancel BUILD",
		Short: "End a build that runs, with all of its processes",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := buildID(args[0])
			if err != nil {
				return err
			}
			_, b, _, err := f.open()
			if err != nil {
				return err
			}
			r, err := b.Cancel(cmd.Context(), id, releaseFlags{by: f.by}.operator())
			if err != nil {
				return problemf("%w", err)
			}
			return a.printBuild(r)
		},
	}
	c.Flags().StringVar(&f.by, "by", "", "`NAME` that the result shows (default user@host)")
	return c
}

func (a *app) buildRunCommand(f *buildFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Build what is pushed to the branches that builder.yaml names, until ctrl-C",
		Long: `Looks at the repositories again and again, and builds the last commit of each branch
that a pattern of builds in builder.yaml lets through, if it has no result yet. A commit
is built once, however it ends.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.buildRun(cmd.Context(), f) },
	}
	f.signing(c)
	c.Flags().DurationVar(&f.every, "every", 5*time.Second, "`TIME` between two looks")
	return c
}

func (a *app) buildRun(ctx context.Context, f *buildFlags) error {
	if f.every < 100*time.Millisecond {
		return usagef("--every %v: write 100ms or more", f.every)
	}
	b, err := f.bench(ctx, a)
	if err != nil {
		return err
	}
	defer b.close()
	if len(b.config.Builds) == 0 {
		return problemf("builder.yaml names no branches, so nothing would be built; write: builds: [main]")
	}
	said := map[string]string{} // trouble with a service, said once
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		if now, err := project.Open(b.project.Dir()); err == nil {
			b.project = now // services may have been added
		}
		for service := range b.project.Services {
			text := ""
			err := a.buildPushed(ctx, b, service, releaseFlags{by: f.by}.operator())
			if err != nil && ctx.Err() == nil {
				text = err.Error()
				if text != said[service] {
					a.note("%s: %s", service, text)
				}
			}
			said[service] = text
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// buildPushed builds the branches of a service that were pushed to.
func (a *app) buildPushed(ctx context.Context, b *bench, service, by string) error {
	results, err := b.builder.Results()
	if err != nil {
		return err
	}
	tips, err := b.project.Tips(ctx, service, results, b.config.Lets)
	if err != nil {
		return err
	}
	for _, tip := range tips {
		r, err := b.run(ctx, service, tip.ID, "", by, nil)
		if err != nil {
			return err
		}
		a.printBuildLine(r)
		a.out.Flush()
	}
	return nil
}

func (a *app) printBuildLine(r build.Result) {
	if a.flags.json {
		a.printLine(r)
		return
	}
	why := ""
	if r.Why != "" {
		why = ": " + r.Why
	}
	a.printf("build %s of %s %s in %s%s\n", strconv.Itoa(r.ID), r.Target, r.Outcome, durationText(tookOf(r)), why)
}
