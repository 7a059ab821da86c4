package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/site/spread"
)

// hostsPage answers: which host does not run what the site's plan wants, and why?
type hostsPage struct {
	Lead  phrase    `json:"-"`
	Plan  int64     `json:"plan"` // the highest number that a host obeys; 0: none
	Hosts []hostRow `json:"hosts"`
	Log   *hostLog  `json:"log,omitempty"`

	Shown []hostRow `json:"-"`
	Pager pager     `json:"-"`
}

// hostRow is a host with an agent.
type hostRow struct {
	Host   string         `json:"host"`
	Zone   string         `json:"zone,omitempty"`
	Silent string         `json:"silent,omitempty"` // why it did not answer
	Status *spread.Status `json:"status,omitempty"`

	Behind bool         `json:"behind"` // it obeys an older plan than others
	Dot    dot          `json:"-"`
	Runs   []runningRow `json:"-"`
}

// runningRow is an instance that an agent runs.
type runningRow struct {
	spread.Instance
	Word string // key of its phase
	Dot  dot
}

// hostLog are the last lines of an instance.
type hostLog struct {
	Host     string `json:"host"`
	Instance string `json:"instance"`
	Text     string `json:"text"`
	Failed   string `json:"failed,omitempty"`
}

// phases are the words and dots of what an instance does.
var phases = map[string][2]string{
	"starting":    {"starting", "warm"},
	"up":          {"up", "ok"},
	"backing off": {"backing", "bad"},
	"stopping":    {"stopping", "off"},
	"stopped":     {"stopped", "off"},
	"gone":        {"gone", "warn"},
	"wanted":      {"wanted", "warn"},
}

func runningOf(i spread.Instance) runningRow {
	word, known := phases[i.Phase]
	if !known {
		word = [2]string{"unknown", "warn"}
	}
	if i.CrashLooping {
		word = [2]string{"crash", "bad"}
	}
	return runningRow{i, "hosts.phase-" + word[0], dot{word[1]}}
}

// bad reports whether a host does not do what it should.
func (r hostRow) bad() bool { return r.Dot.Kind != "ok" }

// hostsOf returns the hosts, worst first, and the number of the newest plan.
func (s *snapshot) hostsOf() (list []hostRow, plan int64) {
	for _, h := range s.Hosts {
		if h.Status != nil {
			plan = max(plan, h.Status.Plan)
		}
	}
	rank := map[string]int{"bad": 2, "warn": 1}
	worst := func(r hostRow) int { return rank[r.Dot.Kind] }
	for _, h := range s.Hosts {
		r := hostRow{Host: h.Host, Zone: h.Zone, Status: h.Status, Dot: dot{"ok"}}
		if h.Status == nil {
			r.Silent, r.Dot = firstLine(fmt.Sprint(h.Err)), dot{"bad"}
			list = append(list, r)
			continue
		}
		r.Behind = h.Status.Plan < plan
		if r.Behind || h.Status.Problem != "" {
			r.Dot = dot{"warn"}
		}
		for _, i := range h.Status.Instances {
			row := runningOf(i)
			if rank[row.Dot.Kind] > worst(r) {
				r.Dot = row.Dot
			}
			r.Runs = append(r.Runs, row)
		}
		slices.SortStableFunc(r.Runs, func(a, b runningRow) int {
			return cmp.Or(rank[b.Dot.Kind]-rank[a.Dot.Kind], strings.Compare(a.Name, b.Name))
		})
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b hostRow) int {
		return cmp.Or(worst(b)-worst(a), strings.Compare(a.Host, b.Host))
	})
	return list, plan
}

// firstLine is the beginning of a text of another host.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return quote.Text(line[:min(len(line), silentText)])
}

func (s *snapshot) hostsPage(r *http.Request) (any, error) {
	p := hostsPage{Hosts: []hostRow{}}
	list, plan := s.hostsOf()
	p.Hosts, p.Plan = append(p.Hosts, list...), plan
	bad := 0
	for _, h := range list {
		if h.bad() {
			bad++
		}
	}
	switch {
	case len(list) == 0:
		p.Lead = say("hosts.none")
	case bad == 0:
		p.Lead = say("hosts.all-well", "n", len(list), "plan", plan)
	default:
		p.Lead = say("hosts.some", "n", bad, "all", len(list))
	}
	p.Shown, p.Pager = paged(p.Hosts, r)
	host, instance := r.URL.Query().Get("host"), r.URL.Query().Get("log")
	if host != "" && instance != "" && s.agentLog != nil && actorOf(r).Role >= roleOperator {
		p.Log = s.hostLog(r.Context(), host, instance)
	}
	return p, nil
}

const (
	logLines = 200
	logTime  = 3 * time.Second
)

// hostLog asks a host for the last lines of an instance. The page renews itself, so that the lines follow.
func (s *snapshot) hostLog(ctx context.Context, host, instance string) *hostLog {
	l := &hostLog{Host: host, Instance: instance}
	ctx, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	text, err := s.agentLog(ctx, host, instance)
	if err != nil {
		l.Failed = firstLine(err.Error())
		return l
	}
	l.Text = string(quote.Lines(string(text)))
	return l
}

// watchHosts asks the agents of the site while a page is open, else once a minute.
func (l *live) watchHosts(ctx context.Context) {
	agents := spread.NewSite(l.cfg.Node)
	defer agents.Close()
	l.agents.Store(agents)
	defer l.agents.Store(nil)
	for asked := (time.Time{}); ; {
		watched := time.Since(time.Unix(0, l.asked.Load())) < watchedTime
		if watched || time.Since(asked) >= idlePeriod {
			asked = time.Now()
			if list, err := agents.Statuses(ctx); err == nil {
				l.hosts.Store(&list)
			}
		}
		if run.Sleep(ctx, stateEvery) != nil {
			return
		}
	}
}

// hostList are the hosts that have agents, as they were asked last.
func (l *live) hostList() []spread.HostStatus {
	if list := l.hosts.Load(); list != nil {
		return *list
	}
	return nil
}

// agentLog asks for the last lines of an instance on a host.
func (l *live) agentLog(ctx context.Context, host, instance string) ([]byte, error) {
	agents := l.agents.Load()
	if agents == nil {
		return nil, spread.ErrNoAgent
	}
	page, err := agents.Log(ctx, host, instance, -1, logLines, 0)
	return page.Text, err
}

// findHosts judges what agents say.
func (s *snapshot) findHosts() (all []finding) {
	list, plan := s.hostsOf()
	for _, h := range list {
		f := finding{About: []string{h.Host}, Severity: warning, Link: "/hosts", LinkText: say("finding.open-hosts"),
			Do: "skerry site status"}
		st := h.Status
		if st == nil {
			continue // its process is silent, which is a finding of its own
		}
		for _, i := range h.Runs {
			if !i.CrashLooping {
				continue
			}
			one := f
			one.Kind, one.About, one.Since = "crash", []string{h.Host, i.Name}, i.Since
			one.What = say("finding.crash", "instance", i.Name, "host", h.Host)
			one.Why = say("finding.crash-why", "n", i.Restarts, "exit", cmp.Or(i.LastExit, "–"))
			all = append(all, one)
		}
		switch {
		case st.Problem != "":
			f.Kind, f.What = "host", say("finding.host", "host", h.Host)
			f.Why = say("finding.lost-why", "why", st.Problem)
			all = append(all, f)
		case h.Behind:
			f.Kind, f.What = "host-behind", say("finding.host-behind", "host", h.Host, "has", st.Plan, "plan", plan)
			f.Why = say("finding.host-behind-why")
			if st.Locked {
				f.Why = say("finding.host-locked-why")
			}
			all = append(all, f)
		}
	}
	return all
}
