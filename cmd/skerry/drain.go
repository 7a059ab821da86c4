package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/suggest"
)

// drainFlags are the options of drain and deregister.
type drainFlags struct {
	releaseFlags
	at       string
	undo     bool
	last     bool
	vouched  bool
	reason   string
	duration time.Duration
	wait     time.Duration
}

// drainResult is one process in the output of drain and deregister.
type drainResult struct {
	Process   string   `json:"process"`
	Instances []string `json:"instances"` // service/version at address
	State     string   `json:"state"`     // drained, running, listed, left, removed or failed
	Running   int64    `json:"running"`   // calls
	Retained  bool     `json:"retained"`  // the process is drained after a restart, too
	Why       string   `json:"why,omitempty"`
}

func (a *app) drainCommand() *cobra.Command {
	var f drainFlags
	c := &cobra.Command{
		Use:   "drain PROCESS|HOST|SERVICE[/VERSION]",
		Short: "Keep calls away from instances that stay alive, and let them come again",
		Long: `Takes instances out of the choice of every caller, and waits until the calls
that they execute have been answered. Their process lives on and stays listed,
as "drained", with the operator, the time and the reason. What comes all the
same, of clients with a fixed address, is executed. --undo brings the calls
back.

PROCESS is named as skerry members does, host/pid/epoch, or host/pid. HOST
means all its processes. SERVICE with --at means the instance there; without it
all, which takes --last: calls fail while nothing is left to execute them.
--last is asked for whenever no other well instance of the same version is
left.

The drain ends with --undo, or with the process: one that is started again gets
calls. With --for it ends after that time, and holds over restarts until then,
where the process has a state directory.

The order is signed like a step of a release: by an operator's key where the
configuration names operators, else by the site's key.`,
		Example: `  skerry drain web-3/4711 --reason "new disk"
  skerry drain auth --at 10.0.0.5:7000 --for 2h
  skerry drain web-3 --undo`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.drain(cmd.Context(), args[0], f) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
			return a.completeService(cmd, args, part)
		},
	}
	f.register(c)
	c.Flags().BoolVar(&f.undo, "undo", false, "let calls come again")
	c.Flags().BoolVar(&f.last, "last", false, "drain although no other instance is left")
	c.Flags().DurationVar(&f.duration, "for", 0, "end the drain after this `TIME`; it holds over restarts until then")
	c.Flags().DurationVar(&f.wait, "wait", 30*time.Second, "how long to wait for the calls that run")
	spell(c, "wait", 30*time.Second)
	return c
}

// register defines the options that drain and deregister share.
func (f *drainFlags) register(c *cobra.Command) {
	f.registerSigner(c, false)
	c.Flags().StringVar(&f.at, "at", "", "the instance at this `ADDRESS`: host:port or host")
	c.Flags().StringVar(&f.reason, "reason", "", "`WHY`; lists and logs show it")
}

func (a *app) drain(ctx context.Context, target string, f drainFlags) error {
	switch {
	case f.undo && (f.duration != 0 || f.last):
		return usagef("--undo goes without --for and --last")
	case f.duration < 0 || f.duration > drain.TimeMost || f.duration > 0 && f.duration < time.Second:
		return usagef("--for: want a time from 1s to %dh", int(drain.TimeMost.Hours()))
	case f.wait < 0:
		return usagef("--wait: want a time from 0s")
	}
	site, leave, err := a.openOrders(ctx, f)
	if err != nil {
		return err
	}
	defer leave()
	t, err := site.find(target, f.at)
	if err != nil {
		return err
	}
	if err := t.offers(f.undo); err != nil {
		return err
	}
	if !f.undo && !f.last {
		if err := site.others(t); err != nil {
			return err
		}
	}
	order := drain.Order{Verb: drain.Begin, Why: f.reason, ForMS: f.duration.Milliseconds()}
	if f.undo {
		order = drain.Order{Verb: drain.Undo, Why: f.reason}
	}
	results := site.send(ctx, t, order)
	if !f.undo {
		a.awaitDrained(ctx, site, t, results, f.wait)
	}
	if err := a.printDrain(site.cluster, results); err != nil {
		return err
	}
	a.explainDrain(target, results, f)
	return nil
}

// orderSite is the site that drain and deregister change.
type orderSite struct {
	*control.Orders
	node    *skerry.Node
	cluster string
	entries []discovery.Entry
}

func (a *app) openOrders(ctx context.Context, f drainFlags) (*orderSite, func(), error) {
	n, c, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return nil, nil, err
	}
	leave := func() { n.Close() }
	signer, err := a.signer(ctx, c, &f.releaseFlags)
	if err != nil {
		leave()
		return nil, nil, err
	}
	by := control.Operator{Name: f.author()}
	if signer != nil {
		by.Signer = signer
		leave = func() { signer.Close(); n.Close() }
	}
	n.Explain(processService) // looked up from here on
	entries := a.look(ctx, n, "").Instances
	orders, err := control.NewOrders(ctx, n, by)
	if err != nil {
		leave()
		return nil, nil, unreachablef("find the processes: %w", err)
	}
	return &orderSite{orders, n, c.WithDefaults().Cluster, entries}, leave, nil
}

// drainTarget is what a command line names: processes, with some of their instances, or with all.
type drainTarget struct {
	whole     bool
	processes []string
	entries   map[string][]discovery.Entry // by process
}

// find resolves the argument.
func (s *orderSite) find(target, at string) (drainTarget, error) {
	t := drainTarget{entries: map[string][]discovery.Entry{}}
	service, version, _ := strings.Cut(target, "/")
	known := map[string]bool{}
	for _, p := range s.Processes() {
		known[p] = true
	}
	ofService := map[string][]discovery.Entry{}
	var names []string
	for _, e := range s.entries {
		known[e.Owner] = known[e.Owner] || e.State != discovery.Gone
		names = append(names, e.Service)
		host, _, _ := net.SplitHostPort(e.Addr)
		named := e.Service == service && (version == "" || e.Version == version)
		if named && (at == "" || at == e.Addr || at == host) && e.State != discovery.Gone {
			ofService[e.Owner] = append(ofService[e.Owner], e)
		}
	}
	for p := range known {
		if at == "" && known[p] && strings.HasPrefix(p+"/", target+"/") {
			t.processes = append(t.processes, p)
		}
	}
	slices.Sort(t.processes)
	switch {
	case len(t.processes) > 0 && len(ofService) > 0:
		return t, usagef("%s is a host and a service: name the process in full, as skerry members does, or the "+
			"instance by --at", target)
	case len(t.processes) > 0:
		t.whole = true
		for _, e := range s.entries {
			if slices.Contains(t.processes, e.Owner) && e.State != discovery.Gone {
				t.entries[e.Owner] = append(t.entries[e.Owner], e)
			}
		}
		return t, nil
	case len(ofService) > 0:
		t.processes, t.entries = slices.Sorted(maps.Keys(ofService)), ofService
		return t, nil
	}
	hint := ""
	if meant := suggest.Closest(service, names); meant != "" && meant != service {
		hint = fmt.Sprintf("; did you mean %s?", meant)
	}
	if at != "" {
		return t, problemf("no instance of %s at %s is listed%s; skerry ls shows them", target, at, hint)
	}
	return t, problemf("no process, host or service %s is listed%s; skerry members and skerry ls show them", target,
		hint)
}

// offers fails when there is nothing to drain, or to put back, at any process.
func (t drainTarget) offers(undo bool) error {
	for _, list := range t.entries {
		if len(list) > 0 {
			return nil
		}
	}
	if undo {
		return nil // the process says whether it is drained
	}
	return problemf("%s: offers nothing, so no calls can be kept away", strings.Join(t.processes, ", "))
}

// others fails when the drain would leave a version of a service without a well instance.
func (s *orderSite) others(t drainTarget) error {
	taken := map[string]bool{}
	var all []discovery.Entry
	for _, list := range t.entries {
		for _, e := range list {
			taken[instanceKey(e)] = true
			all = append(all, e)
		}
	}
	alone := map[string]bool{}
	for _, e := range all {
		left := slices.ContainsFunc(s.entries, func(o discovery.Entry) bool {
			return o.Service == e.Service && o.Version == e.Version && o.State.Well() && !taken[instanceKey(o)]
		})
		if !left && e.State != discovery.Drained && e.State != discovery.Excluded {
			alone[title(e.Service, e.Version)] = true
		}
	}
	if len(alone) == 0 {
		return nil
	}
	return problemf("no other well instance of %s is left: its calls would fail with no_instance\n"+
		"Next: start another one, or drain the last one with --last; skerry ls shows all, and --at names one",
		strings.Join(slices.Sorted(maps.Keys(alone)), ", "))
}

func instanceKey(e discovery.Entry) string {
	return e.Service + "/" + e.Version + "@" + e.Addr + "#" + e.Owner
}

// send sends an order to each process.
func (s *orderSite) send(ctx context.Context, t drainTarget, order drain.Order) []drainResult {
	var results []drainResult
	for _, p := range t.processes {
		one := order
		r := drainResult{Process: p, Instances: []string{}, State: map[drain.Verb]string{drain.Begin: "drained",
			drain.Undo: "listed", drain.Leave: "left"}[order.Verb]}
		for _, e := range t.entries[p] {
			r.Instances = append(r.Instances, title(e.Service, e.Version)+" at "+e.Addr)
			if !t.whole {
				one.Instances = append(one.Instances,
					drain.Instance{Service: e.Service, Version: e.Version, Addr: e.Addr})
			}
		}
		slices.Sort(r.Instances)
		d, err := s.Send(ctx, p, one)
		r.Running, r.Retained = d.Running, d.Retained > 0
		if err != nil {
			r.State, r.Why = "failed", err.Error()
		}
		if errors.Is(err, drain.ErrStale) {
			r.Why += "; look at skerry ls, then repeat it"
		}
		results = append(results, r)
	}
	return results
}

// awaitDrained waits until no call runs at the drained processes, and the lists here show the drain.
func (a *app) awaitDrained(
	ctx context.Context, s *orderSite, t drainTarget, results []drainResult, most time.Duration,
) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	quiet := make([]int, len(results))
	for {
		busy := false
		for i := range results {
			r := &results[i]
			if r.State == "failed" || quiet[i] >= 2 {
				continue
			}
			if d, err := s.Look(ctx, r.Process); err == nil {
				r.Running = d.Running
			}
			if quiet[i]++; r.Running > 0 || !s.shown(t.entries[r.Process]) {
				quiet[i] = 0
			}
			r.State = "drained"
			if r.Running > 0 {
				r.State = "running"
			}
			busy = busy || quiet[i] < 2
		}
		if !busy || run.Sleep(ctx, drainLook) != nil {
			return
		}
	}
}

// drainLook is the time between two looks at the calls of drained processes.
const drainLook = 100 * time.Millisecond

// shown reports whether the lists here show that no calls come to the instances.
func (s *orderSite) shown(list []discovery.Entry) bool {
	for _, e := range list {
		for _, now := range s.node.Explain(e.Service) {
			if instanceKey(now) == instanceKey(e) && now.State.Well() {
				return false
			}
		}
	}
	return true
}

func (a *app) printDrain(cluster string, results []drainResult) error {
	var problem error
	failed := 0
	for _, r := range results {
		if r.State == "failed" {
			failed++
		}
		if r.State == "failed" || r.State == "running" {
			problem = &exitError{exitProblem, nil}
		}
	}
	if a.flags.json {
		if err := a.printJSON(map[string]any{"cluster": cluster, "processes": results}); err != nil {
			return err
		}
		return problem
	}
	var rows [][]string
	for _, r := range results {
		rows = append(rows, []string{
			r.Process, orDash(strings.Join(r.Instances, ",")), r.State, fmt.Sprint(r.Running), r.Why,
		})
	}
	a.printTable([]string{"PROCESS", "INSTANCES", "STATE", " RUNNING", "WHY"}, rows)
	if failed < len(results) && problem != nil && failed == 0 {
		a.note("calls still run; they go on, and no others come. Repeat the command to wait longer.")
	}
	return problem
}

// explainDrain says what ends a drain.
func (a *app) explainDrain(target string, results []drainResult, f drainFlags) {
	if a.flags.json {
		return
	}
	if f.undo {
		a.item("", "Calls come again.")
		return
	}
	back := quote.Sprintf("skerry drain %s --undo", target)
	if f.at != "" {
		back = quote.Sprintf("skerry drain %s --at %s --undo", target, f.at)
	}
	switch kept := slices.ContainsFunc(results, func(r drainResult) bool { return r.Retained }); {
	case f.duration > 0 && kept:
		a.item("", "No call runs, and none comes for %s, also after a restart. Before that: %s",
			durationText(f.duration), back)
	case f.duration > 0:
		a.item("", "No call runs, and none comes for %s, or until a restart, as the process has no state directory. "+
			"Before that: %s", durationText(f.duration), back)
	default:
		a.item("", "No call runs, and none comes until a restart, or: %s", back)
	}
}
