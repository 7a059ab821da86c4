package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/run"
)

func (a *app) doctorCommand() *cobra.Command {
	site, redacted := false, false
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong here, and what to do about it",
		Long: `Looks at everything that skerry depends on, from this host: the configuration,
the address that would be advertised and why, the LAN (do packets go out and
come in, whose are they), the database (reachable, rights, clock, versions,
notifications, long transactions), the state directory, ports, programs of other
languages and their proxies, whether what is listed can be connected to from
here, the largest packets that pass to each host, and what the running processes
have refused. It changes nothing.

Run it as the user and with the configuration of the service. Exit code 1 when
something must be done.

With --site it asks the processes of all hosts instead: each one checks itself and
its host (files and connections of their limits, addresses, the LAN as it has heard
it, certificates, the database, the state directory and its disk, the policy), for
ten seconds at most. Processes that do not answer are named. --redacted takes
names, addresses and paths out, for a reader outside of the site.`,
		Example: "  skerry doctor\n  skerry doctor --site\n  skerry doctor --site --redacted --json > report.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case site:
				return a.doctorSite(cmd.Context(), redacted)
			case redacted:
				return usagef("--redacted goes with --site")
			}
			return a.doctor(cmd.Context())
		},
	}
	c.Flags().BoolVar(&site, "site", false, "ask the processes of all hosts")
	c.Flags().BoolVar(&redacted, "redacted", false, "without names, addresses and paths of the site")
	return c
}

func (a *app) doctor(ctx context.Context) error {
	list, c, ok := a.examineConfig()
	if !ok {
		return a.printFindings(list)
	}
	list = append(list, examineAddress(c)...)
	var heard broadcast.Report
	if c.Mode != config.ModeDatabase {
		var lan []finding
		lan, heard = examineLAN(ctx, c)
		list = append(list, lan...)
	}
	site, refused := a.examineSite(ctx, c)
	list = append(list, a.examineKey(c, heard, refused)...)
	list = append(list, a.examineTrust(ctx, c)...)
	list = append(list, examineDatabase(ctx, c)...)
	list = append(list, doctor.State(c.StateDir)...)
	list = append(list, spaceWanted(doctor.Disk(c.StateDir))...)
	list = append(list, examinePort(c.Services)...)
	list = append(list, examinePrograms(ctx, c.Proxy)...)
	return a.printFindings(append(list, site...))
}

// spaceWanted is what needs space: on a disk that has some nothing must be said.
func spaceWanted(list []finding) []finding {
	return slices.DeleteFunc(list, func(f finding) bool { return f.Level == fine })
}

// examineConfig reads the configuration; ok is false when the configuration can't
// be used for further checks.
func (a *app) examineConfig() (list []finding, c skerry.Config, ok bool) {
	f := &findings{area: "Configuration"}
	path := a.configPath()
	c, err := a.config()
	if wrong, isConfig := errors.AsType[*config.Error](err); isConfig {
		for _, p := range wrong.Problems {
			f.problem("mend it; skerry config check looks again", "%s", p)
		}
		return f.list, c, false
	}
	if err != nil {
		f.problem("name a file that is there and can be read", "%v", err)
		return f.list, c, false
	}
	c = c.WithDefaults()
	host, err := os.Hostname()
	if err != nil {
		f.hint("give the host a name", "%v", err)
	}
	f.fine("%s: cluster %q, mode %s, on host %s", cmp.Or(path, "no file, defaults only"), c.Cluster, c.Mode, host)
	return f.list, c, true
}

const (
	connectTime = time.Second // for one instance
	connectMost = 256         // instances tried
)

// examineSite tries to connect to the listed instances. It asks every process
// whether it can apply the rules.
func (a *app) examineSite(ctx context.Context, c skerry.Config) ([]finding, []control.Refusals) {
	f := &findings{area: "Instances"}
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		f.problem("mend the configuration", "%v", err)
		return f.list, nil
	}
	defer n.Close()
	entries := a.lookWithRules(ctx, n, "").Instances
	if len(entries) == 0 {
		f.hint("start a service; then skerry ls shows it", "nothing is listed")
		return f.list, nil
	}
	f.standings(entries)
	f.drained(entries)
	entries = f.here(entries)
	results := connectAll(ctx, entries[:min(len(entries), connectMost)])
	connected := 0
	for i, err := range results {
		if err == nil {
			connected++
		} else {
			do := quote.Safe("see that it runs, that it advertises an address that this host can reach, " +
				"and that a firewall lets its TCP port through")
			own := reach.OwnNetworks()
			where := offNetworks(reach.Address(entries[i].Addr, entries[i].Tags, own), own)
			if where != "" {
				do = "have a router between the two networks, or let that process listen at an address of this " +
					"one, too: service.listen without a host, and no service.advertise"
			}
			f.problem(do, "%s at %s (of %s) is listed, and can't be connected to from here: %v%s",
				title(entries[i].Service, entries[i].Version), entries[i].Addr, entries[i].Owner, err, where)
		}
	}
	if connected > 0 {
		f.fine("%d of %d listed instances can be connected to from here", connected, len(results))
	}
	list := append(f.list, examinePaths(ctx, c, entries)...)
	f = &findings{area: "Rules"}
	status := control.Releases(n, control.Operator{}).Status(ctx)
	f.rules(status.Members)
	if errors.Is(status.Err, operator.ErrForked) {
		f.problem("skerry release status shows the logs; skerry release adopt --keep HASH goes on with one",
			"the rule log has forked: %v", status.Err)
	}
	list = append(list, f.list...)
	f = &findings{area: "Policy"}
	if state, err := control.NewPolicies(n, control.Operator{}).Look(ctx); err == nil {
		f.policy(state)
	}
	list = append(list, f.list...)
	f = &findings{area: "Refused"}
	refused, _, err := control.AllRefusals(ctx, n)
	if err == nil { // examineSite has already named the silent processes
		describeRefused(f, refused)
	}
	return append(list, f.list...), refused
}

// standings names the running versions that get no calls by the log of releases.
func (f *findings) standings(entries []discovery.Entry) {
	said := map[string]bool{}
	for _, e := range entries {
		what, mend := rollout.Standing(e.Standing).Explain()
		name := title(e.Service, e.Version)
		if what == "" || said[name] {
			continue
		}
		said[name] = true
		n := 0
		for _, o := range entries {
			if o.Service == e.Service && o.Version == e.Version {
				n++
			}
		}
		f.problem(quote.Safe(mend), "%s: %s listed, and %s", name, releases.CountAre(n), what)
	}
}

// drained names the drained instances, and the versions of which no other one is left.
func (f *findings) drained(entries []discovery.Entry) {
	for _, e := range entries {
		if e.State != discovery.Drained {
			continue
		}
		do := quote.Sprintf("when that is over: skerry drain %s --at %s --undo; or %s", e.Service, e.Addr,
			quote.Sprintf("skerry drain %s --undo, where its whole process was drained", e.Owner))
		if slices.ContainsFunc(entries, func(o discovery.Entry) bool {
			return o.Service == e.Service && o.Version == e.Version && o.State.Well()
		}) {
			f.hint(do, "%s at %s (of %s) is %s", title(e.Service, e.Version), e.Addr, e.Owner, e.Why)
			continue
		}
		f.problem(do, "%s at %s (of %s) is %s; no other well instance of this version is left",
			title(e.Service, e.Version), e.Addr, e.Owner, e.Why)
	}
}

// here reports and leaves out the instances that only their own hosts can connect to.
func (f *findings) here(entries []discovery.Entry) (here []discovery.Entry) {
	for _, e := range entries {
		if e.State == discovery.Elsewhere {
			f.problem("name an address of that host by service.advertise there; nothing, when only that host calls it",
				"%s at %s (of %s) is not called from here: %s", title(e.Service, e.Version), e.Addr, e.Owner, e.Why)
			continue
		}
		here = append(here, e)
	}
	return here
}

// rules names the processes that can't apply the newest rules.
func (f *findings) rules(members []operator.MemberStatus) {
	for _, m := range members {
		if len(m.Lacks) > 0 {
			f.problem("upgrade skerry there, and start it again; until then calls between it and newer processes "+
				"are refused",
				"%s goes by generation %v, and the next one needs %q, which it does not know",
				m.Process, m.Applied, m.Lacks)
		}
	}
}

// connectAll tries a TCP connection to every entry. Its results have the order of
// the entries.
func connectAll(ctx context.Context, entries []discovery.Entry) []error {
	results := make([]error, len(entries))
	g := run.NewGroup(ctx)
	for i, e := range entries {
		g.Go(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, connectTime)
			defer cancel()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", reach.Address(e.Addr, e.Tags, reach.OwnNetworks()))
			if results[i] = err; err == nil {
				conn.Close()
			}
			return nil
		})
	}
	g.Wait()
	return results
}
