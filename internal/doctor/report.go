package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/quote"
)

// Bounds of a report, as it comes from another process.
const (
	reportBytes  = 256 << 10
	reportsMost  = 100     // findings
	longestText  = 4 << 10 // bytes of a text
	longestShort = 256     // bytes of a name
)

// Report is what a process has found of itself and of its host.
type Report struct {
	Process  string    `json:"process"` // registry.Owner.String()
	Host     string    `json:"host"`
	Release  string    `json:"skerry"`
	At       time.Time `json:"at"` // when it was finished, by the clock of the host
	Findings []Finding `json:"findings"`
}

// Marshal is the report as it travels, with the first findings where there are too many.
func (r Report) Marshal() ([]byte, error) {
	r.Findings = slices.Clone(r.Findings[:min(len(r.Findings), reportsMost)])
	for i, f := range r.Findings {
		r.Findings[i].Text, r.Findings[i].Do = cut(f.Text), cut(f.Do)
	}
	return json.Marshal(r)
}

func cut(s quote.Safe) quote.Safe {
	if len(s) <= longestText {
		return s
	}
	return quote.Safe(strings.ToValidUTF8(string(s[:longestText]), "")) + " …"
}

// Read reads a report of another process, which may lie: it is bounded, and no character of it is hidden.
func Read(b []byte) (Report, error) {
	var r Report
	if len(b) > reportBytes {
		return r, fmt.Errorf("a report of %d bytes, at most %d are read", len(b), reportBytes)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("read a report of doctor: %w", err)
	}
	r.Process, r.Host, r.Release = short(r.Process), short(r.Host), short(r.Release)
	r.Findings = r.Findings[:min(len(r.Findings), reportsMost)]
	for i, f := range r.Findings {
		f.Area, f.Text, f.Do = short(f.Area), cut(quote.Lines(string(f.Text))), cut(quote.Lines(string(f.Do)))
		if f.Level != Fine && f.Level != Problem {
			f.Level = Hint
		}
		r.Findings[i] = f
	}
	return r, nil
}

func short(s string) string {
	if len(s) > longestShort {
		s = s[:longestShort]
	}
	return quote.Text(s)
}

// Host is what the processes of a host have found.
type Host struct {
	Host      string        `json:"host"`
	Processes []string      `json:"processes"`
	Findings  []HostFinding `json:"findings"` // problems first, then notes
}

// HostFinding is a finding with the processes that have made it.
type HostFinding struct {
	Finding
	Processes []string `json:"processes"`
}

// ByHost joins reports. Hosts with problems come first; what several processes of a host have found is one finding.
func ByHost(reports []Report) []Host {
	at := map[string]*Host{}
	for _, r := range reports {
		name, _, _ := strings.Cut(r.Process, "/")
		h := at[name]
		if h == nil {
			h = &Host{Host: name, Findings: []HostFinding{}}
			at[name] = h
		}
		h.Processes = append(h.Processes, r.Process)
		for _, f := range r.Findings {
			i := slices.IndexFunc(h.Findings, func(o HostFinding) bool { return o.Finding == f })
			if i < 0 {
				i = len(h.Findings)
				h.Findings = append(h.Findings, HostFinding{Finding: f})
			}
			if !slices.Contains(h.Findings[i].Processes, r.Process) {
				h.Findings[i].Processes = append(h.Findings[i].Processes, r.Process)
			}
		}
	}
	hosts := make([]Host, 0, len(at))
	for _, h := range at {
		slices.Sort(h.Processes)
		slices.SortStableFunc(h.Findings, func(a, b HostFinding) int {
			return cmp.Compare(rank(b.Level), rank(a.Level))
		})
		hosts = append(hosts, *h)
	}
	slices.SortFunc(hosts, func(a, b Host) int {
		return cmp.Or(cmp.Compare(b.count(Problem), a.count(Problem)), cmp.Compare(b.count(Hint), a.count(Hint)),
			cmp.Compare(a.Host, b.Host))
	})
	return hosts
}

func rank(l Level) int { return slices.Index([]Level{Fine, Hint, Problem}, l) }

func (h Host) count(l Level) (n int) {
	for _, f := range h.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// Fine is the number of findings that are as they should be.
func (h Host) Fine() int { return h.count(Fine) }

// Problems is the number of findings that need an action.
func (h Host) Problems() int { return h.count(Problem) }

// Clock reports how far a host's clock is from this one's. A report that was asked for at one time and came at another
// may have been finished up to rest before it was asked for.
func Clock(r Report, asked, came time.Time, rest time.Duration) []Finding {
	off := time.Duration(0)
	switch earliest := asked.Add(-rest); {
	case r.At.IsZero():
		return nil
	case r.At.Before(earliest):
		off = r.At.Sub(earliest)
	case r.At.After(came):
		off = r.At.Sub(came)
	}
	l := List{Area: "Clock"}
	if off.Abs() > ClockTolerance {
		way := "behind"
		if off > 0 {
			way = "before"
		}
		l.Hint("set the clock there, so that logs can be compared; skerry does not depend on it",
			"the clock is %s %s the one of the host that asks", off.Abs().Round(time.Second), way)
	}
	return l.All
}
