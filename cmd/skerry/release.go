package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/console"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// releaseFlags holds the flags of every subcommand of release.
type releaseFlags struct {
	by       string
	key      string // file of the operator's key
	envelope bool
	code     string // of what the console has shown
	dead     []string

	cutStreams bool // of clean
	yes        bool
}

func (a *app) releaseCommand() *cobra.Command {
	var f releaseFlags
	c := &cobra.Command{
		Use:   "release",
		Short: "Bring out new versions of services, together, without a request meeting both",
		Long: `A release is one session over one or several services. It is kept by the site,
not by this command: any operator on any host can go on with it.

  start      open the session; refused while another one is open
  config     put settings of a module, for those who go on with the release
  ship       wait for the new versions, check them, and let verifiers meet them
  commit     send new requests to the new versions, at once or by a growing share
  rollback   send new requests to the old versions again
  clean      wait until no request needs the outgoing versions, retire them, and end

Where the configuration names operators (site.operators), every step is signed by
the key of one of them; skerry release log --verify tells whose.

Requests that are under way stay with the versions that they have begun with.
Every step says what it will do and asks; --yes answers for you.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.registerSigner(c, true)
	c.PersistentFlags().StringArrayVar(&f.dead, "dead", nil,
		"`PROCESS` (host/pid/epoch, host/pid or host) that you vouch to be dead; may be repeated")
	c.PersistentFlags().BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	c.AddCommand(
		a.releaseStartCommand(&f), a.releaseConfigCommand(&f), a.releaseShipCommand(&f), a.releaseCommitCommand(&f),
		a.releaseRollbackCommand(&f), a.releaseCleanCommand(&f), a.releaseStatusCommand(&f),
		a.releaseHoldersCommand(&f), a.releaseValidateCommand(&f), a.releaseRefreshCommand(&f),
		a.releaseAdoptCommand(&f), a.releaseVouchCommand(&f), a.releaseAcknowledgeCommand(&f), a.releaseLogCommand(&f))
	return c
}

// registerSigner defines the options that say which operator signs.
func (f *releaseFlags) registerSigner(c *cobra.Command, subcommands bool) {
	set := c.Flags()
	if subcommands {
		set = c.PersistentFlags()
	}
	set.StringVar(&f.by, "by", "", "`NAME` of the operator, for the audit trail (default: this user and host)")
	set.StringVar(&f.key, "key", os.Getenv("SKERRY_OPERATOR_KEY"), "`FILE` of your key, where site.operators names "+
		"operators (default: $SKERRY_OPERATOR_KEY, else a key in ssh-agent)")
	if subcommands {
		set.StringVar(&f.code, "code", "", "`CODE` that the console has shown: do nothing when this would do "+
			"something else")
	}
	set.BoolVar(&f.envelope, "envelope", false, "ask for the line of the envelope, and sign by that")
}

// operator returns the name of the operator that runs the step.
func (f releaseFlags) operator() string {
	if f.by != "" {
		return f.by
	}
	name := cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"))
	if u, err := user.Current(); err == nil && name == "" {
		name = u.Username
	}
	host, _ := os.Hostname() // without a host name, the user alone is the name
	return strings.Trim(name+"@"+host, "@")
}

// author returns the operator's name for the audit trail.
func (f releaseFlags) author() string {
	if f.envelope {
		return f.operator() + releases.ByEnvelope
	}
	return f.operator()
}

// inRelease returns a command function that runs do on the configured site.
func (a *app) inRelease(
	f *releaseFlags, do func(context.Context, releases.Operations, []string) error,
) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		to, leave, err := a.openReleases(cmd.Context(), f)
		if err != nil {
			return err
		}
		defer leave()
		if err := a.unknownDead(cmd.Context(), to, f.dead); err != nil {
			return err
		}
		return failedStep(do(cmd.Context(), to, args))
	}
}

// unknownDead notes each --dead name that matches no known process. Such a name may be a
// mistake, and has no effect.
func (a *app) unknownDead(ctx context.Context, to releases.Operations, dead []string) error {
	if len(dead) == 0 {
		return nil
	}
	s, err := to.State(ctx)
	if err != nil {
		return err
	}
	for _, d := range dead {
		if !slices.ContainsFunc(s.Members, func(m operator.MemberStatus) bool {
			return strings.HasPrefix(m.Process+"/", d+"/")
		}) {
			a.note("--dead %s: no process of that name is known; skerry release status lists them", d)
		}
	}
	return nil
}

// confirm prints what a step will do and asks for permission.
func (a *app) confirm(f *releaseFlags, plan ...string) error {
	if a.flags.json {
		if !f.yes {
			return usagef("--json asks no questions: say --yes")
		}
		return nil
	}
	for _, d := range f.dead {
		plan = append(plan, "take your word for it, in the audit trail, that "+d+" is dead")
	}
	a.printf("This will\n")
	for _, line := range plan {
		a.item("  - ", "%s", line)
	}
	if f.yes {
		return nil
	}
	a.printf("Go on? [y/N] ")
	if a.answers == nil {
		a.answers = bufio.NewReader(a.in)
	}
	line, _ := a.answers.ReadString('\n') // the end of the input counts as no
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	a.printf("\n")
	return problemf("nothing was done; answer y, or say --yes where no person can answer")
}

// stepped prints the resulting release, in a sentence or as JSON.
func (a *app) stepped(r rollout.Release, sentences ...string) error {
	if a.flags.json {
		return a.printJSON(r)
	}
	for _, s := range sentences {
		if s != "" {
			a.item("", "%s", s)
		}
	}
	return nil
}

// failedStep gives an error of a step its exit code.
func failedStep(err error) error {
	if _, ok := errors.AsType[*exitError](err); ok || err == nil {
		return err
	}
	e := releases.Explain(err)
	return &exitError{exitCodes[e.Kind], e}
}

// exitCodes are those of the errors of releases.
var exitCodes = map[releases.Kind]int{releases.Problem: exitProblem, releases.Usage: exitUsage,
	releases.Unreachable: exitUnreachable}

// step asks for a planned step, makes it, and prints what it has led to.
func (a *app) step(ctx context.Context, f *releaseFlags, s releases.Step, err error) error {
	if err != nil {
		return err
	}
	if err := a.sameCode(f, console.StepCode(s.On, s.Will)); err != nil {
		return err
	}
	if err := a.confirm(f, s.Will...); err != nil {
		return err
	}
	end, err := s.Do(ctx)
	a.wipe()
	if err != nil {
		return err
	}
	return a.stepped(end.Release, end.Said...)
}

// teller prints what a step tells.
func (a *app) teller() releases.Teller { return releases.Teller{Note: a.note, Passing: a.passing} }
