package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/releases"
)

func (a *app) printStatus(st releases.Status, now time.Time) error {
	if a.flags.json {
		return a.printJSON(st)
	}
	a.printHeadline(st, now)
	a.printLogs(st.Logs)
	a.printEnvironments(st.Environments)
	if len(st.Versions) > 0 {
		a.printf("\n")
		a.printVersions(st.Versions)
	}
	if len(st.Copies) > 0 {
		a.printf("\n")
		a.printCopies(st.Copies)
	}
	if len(st.Processes) > 0 {
		a.printf("\n")
		a.printProcesses(st.Processes)
	}
	if len(st.Holders) > 0 {
		a.printf("\n")
		return a.printHolders(*st.Release, st.Holders, now)
	}
	return nil
}

func (a *app) printHeadline(st releases.Status, now time.Time) {
	for _, line := range releases.Headline(st, now) {
		a.item("", "%s", line.Text)
		if line.Mend != "" {
			a.item("  → ", "%s", line.Mend)
		}
	}
	a.item("", "Next: %s", st.Next)
}

// printLogs prints the logs of a site with a forked log.
func (a *app) printLogs(list []releases.LogStatus) {
	if len(list) == 0 {
		return
	}
	var rows [][]string
	for _, l := range list {
		where := count(l.Processes, "process", "es")
		if l.Stored {
			where += ", the database"
		}
		rows = append(rows, []string{l.Hash[:min(12, len(l.Hash))], l.Generation.String(), where, l.Step, l.By})
	}
	a.printf("\n")
	a.printTable([]string{"LOG", " GENERATION", "GOES BY IT", "LAST STEP", "BY"}, rows)
}

func (a *app) printEnvironments(list []releases.Environment) {
	if len(list) == 0 || len(list) == 1 && len(list[0].Versions) == 0 {
		return
	}
	var rows [][]string
	for _, e := range list {
		rows = append(rows, []string{e.Name, orDash(environmentText(e)), orDash(e.Cookie)})
	}
	a.printf("\n")
	a.printTable([]string{"ENVIRONMENT", "VERSIONS", "COOKIE"}, rows)
}

func environmentText(e releases.Environment) string {
	var all []string
	for service, version := range e.Versions {
		all = append(all, service+"/"+version)
	}
	return sortedOr(all, "")
}

func (a *app) printVersions(list []releases.Version) {
	var rows [][]string
	for _, v := range list {
		share := number.Percent(v.Share/100, 4) + "%"
		if v.Role == "any" {
			share = "-"
		}
		rows = append(rows, []string{v.Service, v.Version, v.Role, share, strconv.Itoa(v.Instances)})
	}
	a.printTable([]string{"SERVICE", "VERSION", "ROLE", " SHARE", " UP"}, rows)
}

func (a *app) printProcesses(list []releases.ProcessStatus) {
	var rows [][]string
	for _, p := range list {
		text := p.State
		applied := p.Applied.String()
		if p.Silent > 0 {
			text, applied = text+releases.Silence(p.Silent), "-"
		}
		rows = append(rows, []string{p.Name, text, applied, p.Addr, orDash(strings.Join(p.Runs, ",")), p.Why})
	}
	a.printTable([]string{"PROCESS", "STATE", " GENERATION", "ADDRESS", "RUNS", "WHY"}, rows)
	a.printOrphans(list)
}

// printOrphans prints the calls that no release can keep together.
func (a *app) printOrphans(list []releases.ProcessStatus) {
	var rows [][]string
	for _, p := range list {
		for _, where := range slices.Sorted(maps.Keys(p.Orphans)) {
			rows = append(rows, []string{p.Name, strconv.FormatInt(p.Orphans[where], 10), where})
		}
	}
	if len(rows) == 0 {
		return
	}
	a.printf("\n")
	a.printTable([]string{"PROCESS", " ORPHANS", "WHERE"}, rows)
	a.item("", "Orphans belong to no request: each is a trace of its own, and two of one user may meet two versions.\n"+
		"Name the methods where requests come in under service.entry, hand the handler's ctx on, begin jobs by "+
		"Node.Begin.")
	if slices.ContainsFunc(rows, func(row []string) bool { return strings.Contains(row[2], ", an entry, ") }) {
		a.item("", "A plain client that calls an entry of a version to which the rules send no request knows its "+
			"address: let it call the other version, or the gateway; rollout.orphans: strict refuses it.")
	}
}
