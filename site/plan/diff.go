package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/textdiff"
	"github.com/skerry/skerry/site/artifact"
)

// Diff compares two plans in lines for a person. They begin with + for what comes, - for what goes, and ~ for what
// changes; lines of a configuration are indented. from may be nil. Numbers and parents are not compared.
func Diff(from, to *Plan) []string {
	if from == nil {
		from = &Plan{}
	}
	var lines []string
	for _, name := range union(from.Services, to.Services) {
		old, was := from.Services[name]
		s, is := to.Services[name]
		if was && is {
			lines = append(lines, s.settings(name, old)...)
		}
		for _, version := range union(old.Run, s.Run) {
			before, was := old.Run[version]
			r, is := s.Run[version]
			what := name + "/" + version
			switch {
			case !was:
				lines = append(lines, "+ "+what+": "+r.where())
			case !is:
				lines = append(lines, "- "+what+": "+before.where())
			default:
				lines = append(lines, r.changes(what, before)...)
			}
		}
	}
	return lines
}

// settings compares what is said of a service beside its versions.
func (s Service) settings(name string, old Service) (lines []string) {
	change := func(what, from, to string) {
		if from != to {
			lines = append(lines, fmt.Sprintf("~ %s: %s %s → %s", name, what, dash(from), dash(to)))
		}
	}
	change("user", old.User, s.User)
	change("memory", sizeText(old.Limits.Memory), sizeText(s.Limits.Memory))
	change("cpu", old.Limits.CPU, s.Limits.CPU)
	change("files", strconv.Itoa(old.Limits.Files), strconv.Itoa(s.Limits.Files))
	change("processes", strconv.Itoa(old.Limits.Processes), strconv.Itoa(s.Limits.Processes))
	change("ports", old.Ports, s.Ports)
	if old.Restarts != s.Restarts {
		lines = append(lines, fmt.Sprintf("~ %s: its instances are restarted, one after the other on each host", name))
	}
	if old.Config != s.Config {
		lines = append(lines, fmt.Sprintf("~ %s: config", name))
		for _, line := range textdiff.Unified(old.Config, s.Config) {
			lines = append(lines, "    "+line)
		}
	}
	return lines
}

func dash(text string) string {
	if text == "" || text == "0" {
		return "none"
	}
	return text
}

// where says on which hosts a version runs.
func (r Run) where() string {
	var parts []string
	for _, host := range slices.Sorted(maps.Keys(r.Hosts)) {
		switch n := r.Hosts[host]; n {
		case 0:
		case 1:
			parts = append(parts, host)
		default:
			parts = append(parts, fmt.Sprintf("%d on %s", n, host))
		}
	}
	if len(parts) == 0 {
		return "on no host"
	}
	return strings.Join(parts, ", ")
}

func (r Run) changes(what string, old Run) (lines []string) {
	var counts []string
	for _, host := range union(old.Hosts, r.Hosts) {
		if before, now := old.Hosts[host], r.Hosts[host]; before != now {
			counts = append(counts, fmt.Sprintf("%s %d → %d", host, before, now))
		}
	}
	if len(counts) > 0 {
		lines = append(lines, "~ "+what+": "+strings.Join(counts, ", "))
	}
	for _, platform := range union(old.Artifacts, r.Artifacts) {
		switch before, now := old.Artifacts[platform], r.Artifacts[platform]; {
		case before == now:
		case now == "":
			lines = append(lines, fmt.Sprintf("~ %s: no artifact for %s any more", what, platform))
		case before == "":
			lines = append(lines, fmt.Sprintf("~ %s: an artifact for %s", what, platform))
		default:
			lines = append(lines, fmt.Sprintf("~ %s: the artifact for %s is another one, %s → %s", what, platform,
				artifact.Digest(before).Short(), artifact.Digest(now).Short()))
		}
	}
	if r.On.Count != old.On.Count || !maps.Equal(r.On.Labels, old.On.Labels) {
		lines = append(lines, fmt.Sprintf("~ %s: hosts are chosen by %s", what, r.On))
	}
	return lines
}

// String is the selector as a plan has it.
func (s Selector) String() string {
	if s.Count == 0 {
		return "their names"
	}
	return fmt.Sprintf("{labels: %s, count: %d}", flow(s.Labels, scalar), s.Count)
}

// Effect is what a plan does with one instance.
type Effect struct {
	Host     string
	Do       Do // Start, Stop or Change
	Instance Instance
}

// Effects returns what happens on each host when a plan follows another, sorted by host. from may be nil. hosts are
// those that are known; those that a plan names are added.
func Effects(from, to *Plan, hosts []Host) (all []Effect) {
	if from == nil {
		from = &Plan{}
	}
	platforms := map[string]string{}
	for _, p := range []*Plan{from, to} {
		for _, s := range p.Services {
			for _, r := range s.Run {
				for host := range r.Hosts {
					platforms[host] = ""
				}
			}
		}
	}
	for _, h := range hosts {
		platforms[h.Name] = h.Platform
	}
	for _, host := range slices.Sorted(maps.Keys(platforms)) {
		before := map[Instance]string{}
		for _, w := range from.On(host, platforms[host]) {
			before[w.Instance] = w.Hash
		}
		var some []Effect
		for _, w := range to.On(host, platforms[host]) {
			switch hash, was := before[w.Instance]; {
			case !was:
				some = append(some, Effect{host, Start, w.Instance})
			case hash != w.Hash:
				some = append(some, Effect{host, Change, w.Instance})
			}
			delete(before, w.Instance)
		}
		for i := range before {
			some = append(some, Effect{host, Stop, i})
		}
		slices.SortFunc(some, func(a, b Effect) int { return a.Instance.Compare(b.Instance) })
		all = append(all, some...)
	}
	return all
}

// union returns the keys of two maps, sorted.
func union[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
