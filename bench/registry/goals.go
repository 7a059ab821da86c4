package registry

import (
	"fmt"
	"io"
	"strings"
)

// The goals for a site of ten thousand instances and a thousand consumers.
const (
	goalInstances, goalConsumers = 10_000, 1_000

	goalCPU    = 8.0   // % of a core
	goalMemory = 1024  // bytes for an instance that a consumer knows
	goalPick   = 200.0 // ns
	goalGrowth = 2     // the lease table at most, in sizes at which it is written anew
)

// verdicts prints what was measured of each goal.
func verdicts(w io.Writer, all []result, costs []cost, sizes []size) {
	fmt.Fprintf(w, "\n| goal | measured | |\n|---|---|---|\n")
	line := func(goal, measured string, met bool) {
		verdict := "met"
		if !met {
			verdict = "**missed**"
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", goal, measured, verdict)
	}
	if r := found(all, "skerry"); r != nil {
		cpu := 100 * r.cores()
		line(fmt.Sprintf("10,000 instances, 1,000 consumers: PostgreSQL ≤ %.0f %% of a core", goalCPU),
			fmt.Sprintf("%.1f %%, %.0f statements/s", cpu, float64(r.usage.statements)/r.window.Seconds()),
			cpu <= goalCPU)
		line("… connections bounded: one for each process",
			fmt.Sprintf("%d for %d processes and the one that makes the changes", r.usage.connections,
				r.load.processes()),
			r.usage.connections <= r.load.processes()+1)
		if e := found(all, "etcd"); e != nil && len(e.took) > 0 && len(r.took) > 0 {
			own, its := quantile(r.took, 0.99), quantile(e.took, 0.99)
			line("… a change is with all consumers, p99, no later than by etcd's watch",
				fmt.Sprintf("%s against %s", ms(own), ms(its)), own <= its)
		}
	}
	if len(sizes) > 0 {
		most, anew := int64(0), 8*(32+sizes[0].leases/10) // see bloatSQL of registry/postgres
		for _, s := range sizes {
			most = max(most, s.table)
		}
		line(fmt.Sprintf("the lease table stays flat over hours, also beside an open transaction (≤ %d × the %d KiB "+
			"at which it is written anew)", goalGrowth, anew),
			fmt.Sprintf("%d KiB, at most %d KiB for %d leases", sizes[0].table, most, sizes[0].leases),
			most <= goalGrowth*anew)
	}
	for _, c := range costs {
		line(fmt.Sprintf("%s: memory ≤ %d bytes for each of 10,000 known", c.balancer, goalMemory),
			fmt.Sprintf("%.0f", c.memory), c.memory <= goalMemory)
		ns := float64(c.pick.T.Nanoseconds()) / float64(c.pick.N)
		line(fmt.Sprintf("%s: a pick of 10,000 < %.0f ns, no allocation", c.balancer, goalPick),
			fmt.Sprintf("%.0f ns, %d", ns, c.pick.AllocsPerOp()),
			ns < goalPick && c.pick.AllocsPerOp() == 0)
	}
}

func found(all []result, system string) *result {
	for i := range all {
		if r := &all[i]; r.system == system && r.load.instances == goalInstances && r.load.consumers == goalConsumers {
			return r
		}
	}
	return nil
}

// table is one of Markdown.
type table struct{ w io.Writer }

func newTable(w io.Writer, columns ...string) table {
	fmt.Fprintf(w, "\n| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	return table{w}
}

func (t table) row(cells ...string) { fmt.Fprintf(t.w, "| %s |\n", strings.Join(cells, " | ")) }
