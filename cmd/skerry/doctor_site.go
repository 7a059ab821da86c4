package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/quote"
)

// examineLimit bounds the examination of a whole site.
const examineLimit = time.Minute

// doctorSite has all processes of the site examine themselves and their hosts, and prints what they find by host.
func (a *app) doctorSite(ctx context.Context, redacted bool) error {
	n, c, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(ctx, examineLimit)
	defer cancel()
	found, err := control.Examine(ctx, n)
	if err != nil {
		return unreachablef("%w", err)
	}
	doc := siteReport{Hosts: doctor.ByHost(found.Reports), Silent: []silentProcess{}}
	for _, name := range slices.Sorted(maps.Keys(found.Silent)) {
		doc.Silent = append(doc.Silent, silentOf(name, found.Silent[name]))
	}
	doc.Findings = releasesFound(found.Reports)
	if redacted {
		var services []string
		for _, e := range n.Explain("") {
			services = append(services, e.Service)
		}
		doc.redact(c.WithDefaults().Cluster, services)
	}
	return a.printSite(doc)
}

// siteReport is what the processes of a site have found.
type siteReport struct {
	Problems int             `json:"problems"`
	Hosts    []doctor.Host   `json:"hosts"`
	Silent   []silentProcess `json:"silent"`
	Findings []finding       `json:"findings"` // of the site as a whole
}

// silentProcess is one that has not examined itself.
type silentProcess struct {
	Process string     `json:"process"`
	Level   level      `json:"level"`
	Why     quote.Safe `json:"why"`
	Do      quote.Safe `json:"do"`
}

func silentOf(name string, err error) silentProcess {
	if errors.Is(err, control.ErrNoDoctor) {
		return silentProcess{name, hint, quote.Error(err), "upgrade skerry there; run skerry doctor on its host"}
	}
	return silentProcess{name, problem, quote.Error(err), "see whether it runs, and whether its TCP port can be " +
		"reached from here; run skerry doctor on its host"}
}

// releasesFound reports the releases of skerry that run.
func releasesFound(reports []doctor.Report) []finding {
	f := &findings{area: "Site"}
	by := map[string]int{}
	for _, r := range reports {
		by[cmp.Or(r.Release, "?")]++
	}
	var parts []string
	for _, release := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s in %s", release, count(by[release], "process", "es")))
	}
	switch {
	case len(reports) == 0:
		f.problem("start a service; skerry doctor looks at this host alone", "no process has examined itself")
	case len(by) > 1:
		f.hint("bring all processes to one release, one after another", "several releases of skerry run: %s",
			strings.Join(parts, ", "))
	default:
		f.fine("skerry %s", strings.Join(parts, ", "))
	}
	return f.list
}

// redact takes the names of the site out.
func (s *siteReport) redact(cluster string, services []string) {
	r := &doctor.Redactor{}
	r.Name("cluster", cluster)
	for _, name := range slices.Sorted(slices.Values(services)) {
		r.Name("service", name)
	}
	for _, p := range s.Silent {
		host, _, _ := strings.Cut(p.Process, "/")
		r.Name("host", host)
	}
	s.Hosts = doctor.Redacted(s.Hosts, r)
	for i, p := range s.Silent {
		s.Silent[i].Process, s.Silent[i].Why = r.Text(p.Process), quote.Safe(r.Text(string(p.Why)))
	}
	for i, f := range s.Findings {
		s.Findings[i].Text = quote.Safe(r.Text(string(f.Text)))
	}
}

// printSite prints a report by host: problems and notes in full, and how many checks are as they should be.
func (a *app) printSite(s siteReport) error {
	s.Problems = doctor.Problems(s.Findings)
	for _, h := range s.Hosts {
		s.Problems += h.Problems()
	}
	for _, p := range s.Silent {
		if p.Level == problem {
			s.Problems++
		}
	}
	var failed error
	if s.Problems > 0 {
		failed = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		if err := a.printJSON(s); err != nil {
			return err
		}
		return failed
	}
	for _, h := range s.Hosts {
		a.printf("%s: %s\n", h.Host, count(len(h.Processes), "process", "es"))
		for _, f := range h.Findings {
			if f.Level == fine {
				continue
			}
			text := quote.Sprintf("%s: %s", f.Area, f.Text)
			if len(f.Processes) < len(h.Processes) {
				text += quote.Sprintf(" (%s)", strings.Join(f.Processes, ", "))
			}
			a.printFinding(f.Level, text, f.Do)
		}
		if n := h.Fine(); n > 0 {
			a.printFinding(fine, checksFine(n), "")
		}
	}
	if len(s.Silent) > 0 {
		a.printf("No answer\n")
		for _, p := range s.Silent {
			a.printFinding(p.Level, quote.Sprintf("%s: %s", p.Process, p.Why), p.Do)
		}
	}
	a.printf("Site\n")
	for _, f := range s.Findings {
		a.printFinding(f.Level, f.Text, f.Do)
	}
	a.printSum(s.Problems)
	return failed
}

func checksFine(n int) quote.Safe {
	if n == 1 {
		return "1 check is as it should be"
	}
	return quote.Sprintf("%d checks are as they should be", n)
}
