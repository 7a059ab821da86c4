package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/plan"
	"github.com/skerry/skerry/site/spread"
)

func (a *app) siteShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print the plan that the site obeys, to be edited and applied",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.openSeat(cmd.Context())
			if err != nil {
				return err
			}
			defer s.close()
			now, err := s.look(cmd.Context())
			if err != nil {
				return err
			}
			if now.plan == nil {
				return problemf("the site has no plan yet; write one and apply it: skerry site apply FILE")
			}
			if a.flags.json {
				return a.printJSON(map[string]any{"plan": now.plan.Number, "text": string(now.standing.Signed.Text)})
			}
			a.printf("%s", string(now.standing.Signed.Text))
			return nil
		},
	}
}

// siteStatus is the state of the site.
type siteStatus struct {
	Cluster   string       `json:"cluster"`
	Plan      int64        `json:"plan"` // highest number that a host obeys and an operator known here has signed
	SignedBy  string       `json:"signed_by,omitempty"`
	Conflicts int          `json:"conflicts"` // other plans with this number
	Hosts     []siteHost   `json:"hosts"`
	Silent    []silentHost `json:"silent"`
}

// siteHost is a host that answers.
type siteHost struct {
	spread.Status
	Addr   string `json:"addr"`
	Lacks  string `json:"lacks,omitempty"` // what it has not carried out yet
	Behind bool   `json:"behind"`          // it obeys another plan than the site
}

func (a *app) siteStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the plan that each host obeys, what runs there, and what is wrong",
		Long:  "Exit code 1 when a host is silent, obeys another plan, or has not carried out its own.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.openSeat(cmd.Context())
			if err != nil {
				return err
			}
			defer s.close()
			now, err := s.look(cmd.Context())
			if err != nil {
				return err
			}
			return a.printSiteStatus(now.status(s.config.Cluster))
		},
	}
}

func (n siteNow) status(cluster string) siteStatus {
	out := siteStatus{Cluster: cluster, Plan: n.standing.Signed.Number, SignedBy: n.standing.Signed.By,
		Conflicts: len(n.standing.Rivals), Hosts: []siteHost{}, Silent: []silentHost{}}
	digest := string(n.standing.Signed.Digest())
	seen := map[string]bool{}
	for _, h := range n.hosts {
		seen[h.Host] = true
		if h.Status == nil {
			out.Silent = append(out.Silent, silentHost{h.Host, h.Err.Error()})
			continue
		}
		one := siteHost{Status: *h.Status, Addr: h.Addr, Behind: h.Status.PlanDigest != digest}
		if n.plan != nil && !one.Behind {
			p := &sitePreview{Plan: n.plan.Number, plan: n.plan}
			one.Lacks = p.lacks(h.Status, nil, digest)
		}
		out.Hosts = append(out.Hosts, one)
	}
	for _, host := range slices.Sorted(maps.Keys(n.plan.Named())) {
		if !seen[host] {
			out.Silent = append(out.Silent, silentHost{host, "no agent of it is listed"})
		}
	}
	return out
}

func (a *app) printSiteStatus(s siteStatus) error {
	wrong := len(s.Silent) > 0 || s.Conflicts > 0 ||
		slices.ContainsFunc(s.Hosts, func(h siteHost) bool { return h.Behind || h.Lacks != "" || h.Problem != "" })
	if a.flags.json {
		if err := a.printJSON(s); err != nil {
			return err
		}
	} else {
		a.printSiteHosts(s)
	}
	if wrong {
		return &exitError{code: exitProblem}
	}
	return nil
}

func (a *app) printSiteHosts(s siteStatus) {
	switch {
	case s.Plan == 0:
		a.printf("%s has no plan yet: skerry site apply FILE\n", s.Cluster)
	default:
		a.printf("%s obeys plan %d of %s\n", s.Cluster, s.Plan, orDash(s.SignedBy))
	}
	if s.Conflicts > 0 {
		a.printf("another plan %d is signed as well: hosts carry out neither of them; apply one again\n", s.Plan)
	}
	var rows, running [][]string
	for _, h := range s.Hosts {
		up := 0
		for _, i := range h.Instances {
			since := ""
			if !i.Since.IsZero() {
				since = age(time.Since(i.Since))
			}
			if i.Phase == string(shim.Up) {
				up++
			}
			var ports []string
			for _, p := range i.Ports {
				ports = append(ports, strconv.Itoa(p))
			}
			running = append(running, []string{h.Host, i.Name, i.Phase, since, strings.Join(ports, ","),
				strconv.Itoa(i.Restarts), i.Problem})
		}
		problem := h.Problem
		if problem == "" {
			problem = h.Lacks
		}
		if h.Locked {
			problem = strings.TrimPrefix(problem+"; locked: no new plan is taken", "; ")
		}
		rows = append(rows, []string{h.Host, h.Platform, strconv.FormatInt(h.Plan, 10), strconv.Itoa(up), problem})
	}
	for _, h := range s.Silent {
		rows = append(rows, []string{h.Host, "", "", "", "silent: " + h.Problem})
	}
	a.printTable([]string{"HOST", "PLATFORM", " PLAN", " UP", "PROBLEM"}, rows)
	if len(running) > 0 {
		a.printf("\n")
		a.printTable([]string{"HOST", "INSTANCE", "PHASE", " FOR", "PORTS", " RESTARTS", "PROBLEM"}, running)
	}
}

// sitePlanRow is a plan of the past.
type sitePlanRow struct {
	Plan    int64     `json:"plan"`
	By      string    `json:"by"`
	At      time.Time `json:"at"` // when the host took it that tells it
	Digest  string    `json:"digest"`
	Reason  string    `json:"reason"`
	Changes []string  `json:"changes"` // to the one before; of the oldest: all of it
}

// mostPlans bounds what is looked back at.
const mostPlans = 200

// plans are the plans that hosts have obeyed and an operator known here has signed, the latest first.
func (s *seat) plans(ctx context.Context) ([]agent.SignedPlan, error) {
	now, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	by := map[string]agent.SignedPlan{}
	var wrong error
	for _, h := range now.hosts {
		if h.Status == nil || h.Status.Plan == 0 {
			continue
		}
		for before := int64(0); len(by) < mostPlans; {
			list, err := s.History(ctx, h.Host, before)
			if err != nil {
				wrong = err
			}
			if err != nil || len(list) == 0 {
				break
			}
			for _, p := range list {
				if s.desk.Judge(p) == nil {
					by[string(p.Digest())] = p
				}
			}
			before = list[len(list)-1].Number
		}
		if h.Status.PlanDigest == string(now.standing.Signed.Digest()) && wrong == nil {
			break // it has seen what the site obeys
		}
	}
	if len(by) == 0 && wrong != nil {
		return nil, problemf("%w", wrong)
	}
	if p := now.standing.Signed; p.Number > 0 {
		by[string(p.Digest())] = p
	}
	return slices.SortedFunc(maps.Values(by), func(a, b agent.SignedPlan) int { return int(b.Number - a.Number) }), nil
}

func (a *app) siteHistoryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "Show the plans that the site has obeyed, and what each has changed",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.openSeat(cmd.Context())
			if err != nil {
				return err
			}
			defer s.close()
			list, err := s.plans(cmd.Context())
			if err != nil {
				return err
			}
			return a.printSiteHistory(list)
		},
	}
}

func (a *app) printSiteHistory(list []agent.SignedPlan) error {
	rows := []sitePlanRow{}
	var before *plan.Plan
	for _, signed := range slices.Backward(list) {
		p, err := plan.Parse(fmt.Sprintf("plan %d", signed.Number), signed.Text)
		if err != nil {
			return problemf("%w", err)
		}
		rows = append(rows, sitePlanRow{signed.Number, signed.By, signed.At, string(signed.Digest()), p.Reason,
			append([]string{}, plan.Diff(before, p)...)})
		before = p
	}
	slices.Reverse(rows)
	if a.flags.json {
		return a.printJSON(rows)
	}
	var cells [][]string
	for _, r := range rows {
		what := ""
		if len(r.Changes) > 0 {
			what = r.Changes[0]
		}
		if n := len(r.Changes) - 1; n > 0 {
			what += fmt.Sprintf(" (and %d more)", n)
		}
		cells = append(cells, []string{strconv.FormatInt(r.Plan, 10), orDash(r.By), r.At.Local().Format(time.DateTime),
			what, quote.Text(r.Reason)})
	}
	a.printTable([]string{" PLAN", "BY", "TAKEN", "CHANGED", "REASON"}, cells)
	return nil
}
