package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/order"
	"github.com/skerry/skerry/site/plan"
	"github.com/skerry/skerry/site/spread"
)

// seat is where an operator makes plans.
type seat struct {
	*spread.Site
	desk   *order.Desk // which signs nothing
	config skerry.Config
	keys   string // file of operators
	close  func()
}

// openSeat finds the agents of the site.
func (a *app) openSeat(ctx context.Context) (*seat, error) {
	if a.configPath() == "" && len(present(systemFile(siteConfigName))) > 0 {
		a.flags.config = systemFile(siteConfigName)
	}
	n, c, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	s := &seat{Site: spread.NewSite(n), config: c.WithDefaults()}
	s.keys = cmp.Or(s.config.Site.Operators, systemFile(operatorsName))
	s.desk = order.New(order.Config{Agents: s.Site, Cluster: s.config.Cluster, Operators: s.keys})
	s.close = func() { errors.Join(s.Site.Close(), n.Close()) }
	return s, nil
}

// siteNow is the site before a change.
type siteNow struct {
	standing order.Standing
	plan     *plan.Plan // nil: none yet
	hosts    []spread.HostStatus
}

func (s *seat) look(ctx context.Context) (now siteNow, err error) {
	if now.hosts, err = s.Statuses(ctx); err != nil {
		return now, problemf("%w", err)
	}
	if len(now.hosts) == 0 {
		return now, unreachablef("no agent of the site %s is found; skerry agent status on a host says what is wrong "+
			"there", s.config.Cluster)
	}
	now.standing, err = s.desk.Look(ctx)
	if err != nil && !errors.Is(err, order.ErrRivals) {
		return now, problemf("%w", err)
	}
	if now.standing.Plan.Number > 0 {
		now.plan = now.standing.Plan
	}
	return now, nil
}

// known are the hosts of which an agent answers.
func (n siteNow) known() (list []plan.Host) {
	for _, h := range n.hosts {
		if h.Status != nil {
			list = append(list, plan.Host{Name: h.Host, Platform: h.Status.Platform, Labels: h.Status.Labels})
		}
	}
	return list
}

// sitePreview is what a plan would do.
type sitePreview struct {
	Plan    int64        `json:"plan"`             // number that it gets
	Parent  int64        `json:"parent"`           // number of the plan that is obeyed, 0: none
	Changes []string     `json:"changes"`          // lines for people
	Effects []effectRow  `json:"effects"`          // what happens on each host
	Silent  []silentHost `json:"silent,omitempty"` // hosts that don't answer; they follow when they are back
	Doubts  []string     `json:"doubts,omitempty"`
	Absent  []string     `json:"absent,omitempty"` // hosts without an agent, which no plan had before
	plan    *plan.Plan   // whole, with its number
	now     siteNow      //
	wanted  map[string][]plan.Wanted
}

// effectRow is what happens with one instance.
type effectRow struct {
	Host     string `json:"host"`
	Do       string `json:"do"` // start, stop or change
	Instance string `json:"instance"`
}

// silentHost is a host that does not answer.
type silentHost struct {
	Host    string `json:"host"`
	Problem string `json:"problem"`
}

func (a *app) sitePlanCommand() *cobra.Command {
	f := &storeFlags{}
	c := &cobra.Command{
		Use:   "plan FILE|-",
		Short: "Show what a plan would change, on each host; nothing is changed",
		Long: `Compares a plan with the one that the site obeys. The file may leave out its number and
the digests of artifacts: those come from the store of this host. Hosts are named
(hosts: {ops-1: 2}), or chosen by labels: on: {labels: {hall: "3"}, count: 2}.`,
		Example: `  skerry site plan plan.yaml

  cluster: launch-site-2
  services:
    auth:
      user: site
      ports: 7001-7010
      run:
        v15: {hosts: {ops-1: 2, ops-2: 1}}`,
		Args: cobra.ExactArgs(1),
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
			p, err := a.preview(cmd.Context(), s, f, draft)
			if err != nil {
				return err
			}
			return a.printPreview(p)
		},
	}
	f.registerStore(c)
	return c
}

// registerStore adds the option of the store alone.
func (f *storeFlags) registerStore(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "store", "", "`DIR` of the store with the artifacts (default $SKERRY_STORE, else "+
		"that of this host)")
	f.floor = "0" // nothing is added
	c.MarkFlagDirname("store")
}

// readDraft reads the plan that an operator has written.
func (a *app) readDraft(path, cluster string) (*plan.Plan, error) {
	var text []byte
	var err error
	if path == "-" {
		path = "standard input"
		var read string
		read, err = a.readSecret("")
		text = []byte(read)
	} else {
		text, err = statedir.ReadNamed(path, maxFile)
	}
	if err != nil {
		return nil, problemf("%w", err)
	}
	p, err := plan.ParseDraft(path, text)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if p.Cluster != cluster {
		return nil, problemf("%s is a plan of the cluster %s, and this site is %s", path, p.Cluster, cluster)
	}
	return p, nil
}

// preview makes a whole plan of a draft, and compares it with what is obeyed.
func (a *app) preview(ctx context.Context, s *seat, f *storeFlags, draft *plan.Plan) (*sitePreview, error) {
	now, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	number := now.standing.Signed.Number
	if n := draft.Number; n != 0 && n != number && n != number+1 {
		return nil, problemf("the file is plan %d, and the site obeys plan %d: another operator has changed it since; "+
			"take the changes over (skerry site show), and leave out its number or write %d", n, number, number+1)
	}
	store, err := f.open()
	if err != nil {
		return nil, err
	}
	all, err := store.List()
	if err != nil {
		return nil, problemf("the store of this host: %w", err)
	}
	whole, err := draft.Resolve(now.plan, now.known(), func(service, version string) map[string]string {
		return platformsOf(all, service, version)
	})
	if err != nil {
		return nil, problemf("%w", err)
	}
	whole.Number, whole.Parent = number+1, string(now.standing.Signed.Digest())
	if _, err := plan.Parse("the plan", whole.Marshal()); err != nil {
		return nil, usagef("%w", err)
	}
	p := &sitePreview{Plan: whole.Number, Parent: number, Changes: plan.Diff(now.plan, whole), plan: whole, now: now,
		Effects: []effectRow{}, wanted: map[string][]plan.Wanted{}}
	for _, e := range plan.Effects(now.plan, whole, now.known()) {
		p.Effects = append(p.Effects, effectRow{e.Host, string(e.Do), e.Instance.String()})
	}
	p.lookAtHosts(all)
	return p, nil
}

// lookAtHosts finds hosts that are silent or unknown, and artifacts that are missing.
func (p *sitePreview) lookAtHosts(all []artifact.Artifact) {
	platforms := map[string]string{}
	for _, h := range p.now.hosts {
		if h.Status != nil {
			platforms[h.Host] = h.Status.Platform
		} else {
			p.Silent = append(p.Silent, silentHost{h.Host, h.Err.Error()})
		}
	}
	listed := slices.Collect(maps.Keys(platforms))
	slices.Sort(listed)
	before := p.now.plan.Named()
	named := p.plan.Named()
	maps.Copy(named, before) // a host that no longer runs anything has to hear of it
	for _, host := range slices.Sorted(maps.Keys(named)) {
		platform, answers := platforms[host]
		p.wanted[host] = p.plan.On(host, platform)
		silent := slices.ContainsFunc(p.Silent, func(s silentHost) bool { return s.Host == host })
		switch {
		case answers || silent:
		case before[host]:
			p.Silent = append(p.Silent, silentHost{host, "no agent of it is listed"})
		default:
			p.Absent = append(p.Absent, host)
			p.Doubts = append(p.Doubts, fmt.Sprintf("%s has no agent%s", host, suggest.DidYouMean(host, listed)))
		}
	}
	has := map[artifact.Digest]bool{}
	for _, one := range all {
		has[one.Digest] = true
	}
	said := map[string]bool{}
	for _, host := range slices.Sorted(maps.Keys(p.wanted)) {
		for _, w := range p.wanted[host] {
			name := w.Instance.Service + "/" + w.Instance.Version
			doubt := ""
			switch {
			case w.Artifact == "" && platforms[host] != "":
				doubt = fmt.Sprintf("%s is %s, and %s has no artifact for it", host, platforms[host], name)
			case w.Artifact != "" && !has[w.Artifact] && !p.obeyed(w):
				doubt = fmt.Sprintf("the store of this host lacks %s (%s); another host may have it", name,
					w.Artifact.Short())
			}
			if doubt != "" && !said[doubt] {
				said[doubt] = true
				p.Doubts = append(p.Doubts, doubt)
			}
		}
	}
}

// obeyed reports whether the plan of now names the artifact, so that some host has it.
func (p *sitePreview) obeyed(w plan.Wanted) bool {
	if p.now.plan == nil {
		return false
	}
	digests := p.now.plan.Services[w.Instance.Service].Run[w.Instance.Version].Artifacts
	return slices.Contains(slices.Collect(maps.Values(digests)), string(w.Artifact))
}

func (a *app) printPreview(p *sitePreview) error {
	if a.flags.json {
		return a.printJSON(p)
	}
	if len(p.Changes) == 0 {
		a.printf("nothing changes: this is plan %d, which the site obeys\n", p.Parent)
	} else {
		a.printf("plan %d, after plan %d:\n", p.Plan, p.Parent)
	}
	for _, line := range p.Changes {
		a.printf("  %s\n", line)
	}
	rows := map[string]map[string][]string{}
	for _, e := range p.Effects {
		if rows[e.Host] == nil {
			rows[e.Host] = map[string][]string{}
		}
		rows[e.Host][e.Do] = append(rows[e.Host][e.Do], e.Instance)
	}
	var cells [][]string
	for _, host := range slices.Sorted(maps.Keys(rows)) {
		r := rows[host]
		cells = append(cells, []string{host, strings.Join(r["start"], " "), strings.Join(r["stop"], " "),
			strings.Join(r["change"], " ")})
	}
	if len(cells) > 0 {
		a.printTable([]string{"HOST", "STARTS", "STOPS", "RESTARTS"}, cells)
	}
	for _, c := range p.now.standing.Rivals {
		a.printf("another plan %d is signed as well, by %s; hosts carry out neither of them until a higher one comes\n",
			c.Number, c.By)
	}
	for _, s := range p.Silent {
		a.printf("%s is silent, and follows when it is back: %s\n", s.Host, s.Problem)
	}
	for _, doubt := range p.Doubts {
		a.printf("%s\n", doubt)
	}
	return nil
}
