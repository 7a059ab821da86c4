package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/spf13/cobra"
)

// processService is the service by which every process of a site is listed.
const processService = "skerry.node"

// memberInfo is a process in the output of `skerry members`.
type memberInfo struct {
	Process string   `json:"process"` // host/pid/epoch
	Host    string   `json:"host"`
	Addr    string   `json:"addr"`
	State   string   `json:"state"`          // "ok", or "silent" when the process does not answer; ",drained" behind it
	Sources []string `json:"sources"`        // the registries that list it
	Release string   `json:"release"`        // of skerry in this process
	Up      float64  `json:"up_s,omitempty"` // seconds
	Runs    []string `json:"runs"`           // service/version that it offers
	Why     string   `json:"why,omitempty"`
}

func (a *app) membersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "members",
		Short: "List the processes of the site",
		Long: `Lists every process of the site that runs skerry: its address, its state, the
registries that list it, the release of skerry in it, how long it has been up,
and what it offers. SOURCE tells the mode: "database,lan" is auto with a
database, "lan" is broadcast, "database" is database.

A process that offers nothing, such as a pure consumer or a gateway, is listed
too; providers that know nothing of skerry belong to the process that announces
them. "drained" stands at a process with an instance that an operator drained.
Exit code 1 when a process does not answer, 3 when no process is there.`,
		Example: "  skerry members\n  skerry members --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.members(cmd.Context()) },
	}
}

func (a *app) members(ctx context.Context) error {
	n, c, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	a.look(ctx, n, "")
	a.look(ctx, n, processService)
	known, silent, err := control.Identities(ctx, n)
	if err != nil {
		return unreachablef("find the processes: %w", err)
	}
	list := membersOf(known, silent, n.Explain(processService), n.Explain(""))
	if len(list) == 0 && !a.flags.json {
		return unreachablef("no process of the site answers; see skerry ls and skerry doctor")
	}
	return a.printMembers(c.WithDefaults().Cluster, list)
}

// membersOf joins the processes' own answers with the lists' entries.
func membersOf(
	known []control.Identity, silent map[string]error, listed, offers []discovery.Entry,
) (list []memberInfo) {
	at := map[string]int{}
	member := func(process string) *memberInfo {
		i, ok := at[process]
		if !ok {
			i = len(list)
			at[process] = i
			host, _, _ := strings.Cut(process, "/")
			list = append(list, memberInfo{
				Process: process, Host: host, State: "silent", Sources: []string{}, Runs: []string{},
			})
		}
		return &list[i]
	}
	for _, id := range known {
		m := member(id.Process)
		m.Addr = id.Addr
		m.State = string(discovery.OK)
		m.Release = id.Release
		m.Up = id.Up.Seconds()
	}
	for process, err := range silent {
		member(process).Why = err.Error()
	}
	for _, e := range listed {
		if _, ok := at[e.Owner]; !ok {
			continue // the process has ended, or is this command
		}
		m := member(e.Owner)
		m.Addr = cmp.Or(m.Addr, e.Addr)
		for _, s := range e.Sources {
			m.Sources = append(m.Sources, s.Name)
		}
	}
	for _, e := range offers {
		if _, ok := at[e.Owner]; !ok {
			continue
		}
		m := member(e.Owner)
		if name := title(e.Service, e.Version); !slices.Contains(m.Runs, name) {
			m.Runs = append(m.Runs, name)
		}
		if e.State == discovery.Drained && !strings.Contains(m.State, string(discovery.Drained)) {
			m.State += "," + string(discovery.Drained)
			m.Why = strings.TrimPrefix(m.Why+"; "+e.Why, "; ")
		}
	}
	for i := range list {
		slices.Sort(list[i].Runs)
		slices.Sort(list[i].Sources)
	}
	slices.SortFunc(list, func(a, b memberInfo) int { return cmp.Compare(a.Process, b.Process) })
	return list
}

func (a *app) printMembers(cluster string, list []memberInfo) error {
	var problem error
	if slices.ContainsFunc(list, func(m memberInfo) bool { return strings.HasPrefix(m.State, "silent") }) {
		problem = &exitError{exitProblem, nil}
	}
	if len(list) == 0 {
		problem = &exitError{exitUnreachable, nil}
	}
	if a.flags.json {
		if list == nil {
			list = []memberInfo{}
		}
		if err := a.printJSON(map[string]any{"cluster": cluster, "members": list}); err != nil {
			return err
		}
		return problem
	}
	var rows [][]string
	for _, m := range list {
		up := "-"
		if m.Up > 0 {
			up = age(time.Duration(m.Up * float64(time.Second)))
		}
		rows = append(rows, []string{
			m.Process, orDash(m.Addr), m.State, orDash(strings.Join(m.Sources, ",")), orDash(m.Release), up,
			orDash(strings.Join(m.Runs, ",")), m.Why,
		})
	}
	a.printTable([]string{"PROCESS", "ADDRESS", "STATE", "SOURCE", "SKERRY", " UP", "RUNS", "WHY"}, rows)
	return problem
}
