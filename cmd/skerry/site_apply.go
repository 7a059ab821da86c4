package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/order"
	"github.com/skerry/skerry/site/plan"
	"github.com/skerry/skerry/site/spread"
)

// applyFlags are the options of commands that change the plan.
type applyFlags struct {
	storeFlags
	key      string
	envelope bool
	reason   string
	absent   bool
	patience time.Duration
}

const (
	applyPatience = 2 * time.Minute
	applyLook     = time.Second // between two looks at the hosts
)

func (f *applyFlags) register(c *cobra.Command) {
	f.registerStore(c)
	c.Flags().StringVar(&f.key, "key", "", "`FILE` of the operator's private key, or of the public key of one in "+
		"ssh-agent")
	c.Flags().BoolVar(&f.envelope, "envelope", false, "sign with the key of the envelope")
	c.Flags().StringVar(&f.reason, "reason", "", "`WHY`, for the history")
	c.Flags().BoolVar(&f.absent, "absent", false, "also for hosts that have no agent yet")
	c.Flags().DurationVar(&f.patience, "patience", applyPatience, "`TIME` to wait until every host has carried it out")
	c.MarkFlagFilename("key")
	spell(c, "patience", applyPatience)
}

func (a *app) siteApplyCommand() *cobra.Command {
	f := &applyFlags{}
	c := &cobra.Command{
		Use:   "apply FILE|-",
		Short: "Sign a plan, bring it to all hosts, and wait until they have carried it out",
		Long: `Gives the plan the next number, signs it with the operator's key, and offers it to all
agents. Exit code 0: every host runs what it says. 1: a host does not, and why is said;
the plan stays in force, and a host that is silent follows when it is back.`,
		Example: `  skerry site apply plan.yaml --key ~/.ssh/skerry-launch-site-2`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.openSeat(cmd.Context())
			if err != nil {
				return err
			}
			defer s.close()
			draft, err := a.readDraft(args[0], s.config.Cluster)
			if err != nil {
				return err
			}
			return a.siteApply(cmd.Context(), s, f, draft)
		},
	}
	f.register(c)
	return c
}

func (a *app) siteUndoCommand() *cobra.Command {
	f := &applyFlags{}
	c := &cobra.Command{
		Use:   "undo [NUMBER]",
		Short: "Apply an earlier plan again, under the next number",
		Long: `Makes a plan with the content of an earlier one: of the one before the plan that the
site obeys, or of the one with NUMBER (skerry site history).`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number := int64(0)
			if len(args) == 1 {
				var err error
				if number, err = strconv.ParseInt(args[0], 10, 64); err != nil || number < 1 {
					return usagef("%q is no number of a plan; skerry site history shows them", args[0])
				}
			}
			s, err := a.openSeat(cmd.Context())
			if err != nil {
				return err
			}
			defer s.close()
			draft, err := s.earlier(cmd.Context(), number)
			if err != nil {
				return err
			}
			return a.siteApply(cmd.Context(), s, f, draft)
		},
	}
	f.register(c)
	return c
}

// earlier is the draft of an earlier plan; number 0 is the one before the last.
func (s *seat) earlier(ctx context.Context, number int64) (*plan.Plan, error) {
	list, err := s.plans(ctx)
	if err != nil {
		return nil, err
	}
	if number == 0 && len(list) < 2 {
		return nil, problemf("there is no plan before the one that the site obeys")
	}
	for i, p := range list {
		if number == 0 && i == 1 || number != 0 && p.Number == number {
			draft, err := plan.Parse(fmt.Sprintf("plan %d", p.Number), p.Text)
			if err != nil {
				return nil, problemf("%w", err)
			}
			draft.Number, draft.Parent, draft.Reason = 0, "", fmt.Sprintf("as plan %d", p.Number)
			return draft, nil
		}
	}
	return nil, problemf("no host has the plan %d; skerry site history shows those that are kept", number)
}

// appliedHost is what became of a plan on one host.
type appliedHost struct {
	Host    string `json:"host"`
	Done    bool   `json:"done"`
	Problem string `json:"problem,omitempty"` // why it is not done
}

// siteApplied is the outcome of a plan.
type siteApplied struct {
	Plan    int64         `json:"plan"`
	By      string        `json:"by,omitempty"`
	Changed bool          `json:"changed"` // false: the site obeys this plan already
	Changes []string      `json:"changes"`
	Done    bool          `json:"done"` // every host has carried it out
	Hosts   []appliedHost `json:"hosts"`
}

func (a *app) siteApply(ctx context.Context, s *seat, f *applyFlags, draft *plan.Plan) error {
	if f.patience < time.Second {
		return usagef("--patience %s: wait for 1 s or more", f.patience)
	}
	if f.reason != "" {
		draft.Reason = f.reason
	}
	p, err := a.preview(ctx, s, &f.storeFlags, draft)
	if err != nil {
		return err
	}
	if len(p.Absent) > 0 && !f.absent {
		return problemf("nothing is applied: %s; take these hosts in (skerry site invite), or, if they follow later, "+
			"say --absent", strings.Join(p.Doubts, "; "))
	}
	if !a.flags.json {
		if err := a.printPreview(p); err != nil {
			return err
		}
	}
	out := siteApplied{Plan: p.Plan, Changed: true, Changes: append([]string{}, p.Changes...), Hosts: []appliedHost{}}
	if len(p.Changes) == 0 && len(p.now.standing.Rivals) == 0 && p.Parent > 0 {
		out.Plan, out.Changed, out.Done = p.Parent, false, true
		return a.printApplied(out)
	}
	given, by, err := a.giveWhole(ctx, s, f, p)
	if err != nil {
		return err
	}
	out.By = by
	if out.Hosts, err = a.await(ctx, s, f, p, given); err != nil {
		return err
	}
	out.Done = !slices.ContainsFunc(out.Hosts, func(h appliedHost) bool { return !h.Done })
	return a.printApplied(out)
}

// giveWhole signs the plan of a preview and gives it to the hosts, unless the site has gone on since.
func (a *app) giveWhole(ctx context.Context, s *seat, f *applyFlags, p *sitePreview) (given order.Given, by string,
	err error) {
	list, err := keyfile.ReadOperators(s.keys)
	if err != nil {
		return given, "", problemf("the file of operators says which plans count: %w", err)
	}
	signer, err := operatorkey.Open(ctx, operatorkey.Options{File: f.key, Envelope: f.envelope, Operators: list,
		Namespace: plan.Namespace})
	if err != nil {
		return given, "", problemf("the plan is not signed: %w", err)
	}
	defer signer.Close()
	desk := order.New(order.Config{Agents: s.Site, Cluster: s.config.Cluster, Operators: s.keys,
		Sign: func(_ context.Context, text []byte) ([]byte, error) {
			blob, err := signer.Sign(plan.Namespace, text)
			a.note("plan %d is signed by %s; the hosts carry it out", p.Plan, signer.Name())
			return sshsig.Armor(blob), err
		}})
	given, err = desk.Give(ctx, true, func(now order.Standing) (*plan.Plan, error) {
		if now.Signed.Digest() != p.now.standing.Signed.Digest() {
			return nil, fmt.Errorf("another operator has given plan %d meanwhile; look at it (skerry site history), "+
				"and apply again", now.Signed.Number)
		}
		return p.plan, nil
	})
	if err != nil {
		return given, "", problemf("%w", err)
	}
	return given, signer.Name(), nil
}

// await looks at the hosts until each has carried out the plan, or the patience ends.
func (a *app) await(ctx context.Context, s *seat, f *applyFlags, p *sitePreview, given order.Given) ([]appliedHost,
	error) {
	refused := map[string]error{}
	for host, err := range given.Later {
		if no, ok := errors.AsType[*spread.RefusedError](err); ok && !no.Busy {
			refused[host] = err
		}
	}
	until := time.Now().Add(f.patience)
	for {
		statuses, err := s.Statuses(ctx)
		if err != nil {
			return nil, problemf("plan %d is offered, and this command was interrupted: skerry site status", p.Plan)
		}
		hosts := p.judge(statuses, string(given.Signed.Digest()), refused)
		left := 0
		for _, h := range hosts {
			if !h.Done {
				left++
			}
		}
		if left == 0 || time.Now().After(until) || left == len(refused) && len(refused) == len(hosts) {
			a.wipe()
			return hosts, nil
		}
		a.passing("%d of %d hosts have carried it out", len(hosts)-left, len(hosts))
		if run.Sleep(ctx, applyLook) != nil {
			a.wipe()
			return nil, problemf("plan %d is offered, and this command was interrupted: skerry site status", p.Plan)
		}
	}
}

// judge says of each host whether it has carried out the plan.
func (p *sitePreview) judge(statuses []spread.HostStatus, digest string, refused map[string]error) []appliedHost {
	by := map[string]spread.HostStatus{}
	hosts := p.plan.Named()
	maps.Copy(hosts, p.now.plan.Named()) // a host that no longer runs anything has to hear of it
	for _, h := range statuses {
		by[h.Host] = h
		hosts[h.Host] = true
	}
	before := map[string]*spread.Status{}
	for _, h := range p.now.hosts {
		before[h.Host] = h.Status
	}
	var list []appliedHost
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		h, listed := by[host]
		one := appliedHost{Host: host}
		switch {
		case !listed:
			one.Problem = "no agent of it is listed"
		case h.Status == nil:
			one.Problem = fmt.Sprintf("it does not answer: %v", h.Err)
		case refused[host] != nil && h.Status.PlanDigest != digest:
			one.Problem = refused[host].Error()
		default:
			one.Problem = p.lacks(h.Status, before[host], digest)
		}
		one.Done = one.Problem == ""
		list = append(list, one)
	}
	return list
}

// lacks says what a host has not carried out yet; empty when it has done all.
func (p *sitePreview) lacks(now, before *spread.Status, digest string) string {
	switch {
	case now.Locked && now.PlanDigest != digest:
		return "its administrator has locked it: it takes no new plan (skerry agent unlock)"
	case now.PlanDigest != digest && now.Plan > p.Plan:
		return fmt.Sprintf("it obeys plan %d, which another operator has made since", now.Plan)
	case now.Problem != "":
		return now.Problem
	case now.PlanDigest != digest:
		return fmt.Sprintf("it obeys plan %d", now.Plan)
	}
	changes := map[string]bool{}
	for _, e := range p.Effects {
		changes[e.Instance] = changes[e.Instance] || e.Host == now.Host && e.Do == string(plan.Change)
	}
	was := map[string]spread.Instance{}
	if before != nil {
		for _, i := range before.Instances {
			was[i.Name] = i
		}
	}
	seen := map[string]spread.Instance{}
	for _, i := range now.Instances {
		seen[i.Name] = i
	}
	for _, w := range p.plan.On(now.Host, now.Platform) {
		name := w.Instance.String()
		i, there := seen[name]
		delete(seen, name)
		old := changes[name] && i.PID != 0 && i.PID == was[name].PID
		if !there || i.Phase != string(shim.Up) || old {
			return instanceLacks(name, i, there, now.Fetching)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if i := seen[name]; i.Phase != string(shim.Stopped) && i.Phase != agent.Gone {
			return name + " is " + i.Phase + ", and ends"
		}
	}
	return ""
}

func instanceLacks(name string, i spread.Instance, there bool, fetching []string) string {
	why := name + " is not started yet"
	if there {
		why = name + " is " + i.Phase
	}
	switch {
	case i.Problem != "":
		why += ": " + i.Problem
	case i.CrashLooping:
		why += ", crash looping: " + i.LastExit
	case i.LastExit != "" && i.Phase != string(shim.Up):
		why += ": " + i.LastExit
	case !there && len(fetching) > 0:
		why += ": " + fetching[0]
	}
	return why
}

func (a *app) printApplied(out siteApplied) error {
	if a.flags.json {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else if out.Changed {
		var rows [][]string
		for _, h := range out.Hosts {
			state := "done"
			if !h.Done {
				state = "not done"
			}
			rows = append(rows, []string{h.Host, state, h.Problem})
		}
		a.printTable([]string{"HOST", "PLAN " + strconv.FormatInt(out.Plan, 10), "WHY"}, rows)
	}
	if !out.Done {
		return &exitError{code: exitProblem}
	}
	return nil
}
