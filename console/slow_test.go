package console

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// hourOf is an hour of minutes in which the calls from portal to auth took so many ms each.
func hourOf(rate float64, p99 ...float64) (list []minute) {
	for _, p := range p99 {
		list = append(list, minute{Edges: []edgeRow{{From: "portal", To: "auth", Rate: rate, P99: p}}})
	}
	return list
}

func TestUsualLatency(t *testing.T) {
	pair := [2]string{"portal", "auth"}
	for name, c := range map[string]struct {
		minutes []minute
		want    time.Duration
	}{
		"nothing":          {nil, 0},
		"a young console":  {hourOf(40, 5, 5, 5, 5), 0},
		"five minutes":     {hourOf(40, 9, 8, 7, 6, 5), 6 * time.Millisecond},
		"half is slow":     {hourOf(40, 4, 4, 4, 4, 40, 40, 40, 40), 4 * time.Millisecond},
		"slow for long":    {hourOf(40, 4, 40, 40, 40, 40, 40, 40, 40), 40 * time.Millisecond},
		"few calls":        {hourOf(0.4, 9, 8, 7, 6, 5), 0},
		"latency not told": {hourOf(40, 0, 0, 0, 0, 0, 0), 0},
	} {
		if have := usualOf(c.minutes)[pair]; have != c.want {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
	}
}

func TestSlowCalls(t *testing.T) {
	calls := func(n int64, d time.Duration, slow int64, longer time.Duration) (f figures) {
		f.Calls = n + slow
		f.Latency.Add(d, n)
		f.Latency.Add(longer, slow)
		return f
	}
	const m = time.Millisecond
	for name, c := range map[string]struct {
		now   figures
		usual time.Duration
		want  bool
	}{
		"ten times":           {calls(0, 0, 2400, 40*m), 4 * m, true},
		"a tail of 2 %":       {calls(980, 4*m, 20, 400*m), 4 * m, true},
		"as usual":            {calls(2400, 4*m, 0, 0), 4 * m, false},
		"twice":               {calls(0, 0, 2400, 80*m), 40 * m, false},
		"three times nothing": {calls(0, 0, 2400, 3*m), m / 2, false},
		"few calls":           {calls(0, 0, 20, 400*m), 4 * m, false},
		"one slow call":       {calls(59, 4*m, 1, 4000*m), 4 * m, false},
		"nine slow calls":     {calls(100, 4*m, 9, 4000*m), 4 * m, false},
		"nothing is usual":    {calls(0, 0, 2400, 4000*m), 0, false},
		"no latency":          {figures{Calls: 2400}, 4 * m, false},
	} {
		if have := slow(c.now, c.usual); have != c.want {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
	}
}

// slowNight is a site on which nothing fails and the calls to historian take ten times as long as usual; gateway and
// portal wait for them. The instance on ops-4 is the slow one.
func slowNight() *snapshot {
	s := night()
	s.Flows, s.Before, s.Own = nil, nil, map[place]*figures{}
	for i := range s.Entries {
		e := &s.Entries[i]
		e.State, e.Why = "ok", ""
		own, took := figures{}, 40*time.Millisecond
		if strings.HasPrefix(e.Owner, "ops-4/") {
			took = 1200 * time.Millisecond
		}
		flow := flow{Calls: 400}
		flow.Latency.Add(took, 400)
		own.add(flow)
		s.Own[place{e.Owner, e.Service, e.Version}] = &own
	}
	for i := range s.Processes {
		s.Processes[i].Silent, s.Processes[i].Policy = "", 18
	}
	s.usual = map[[2]string]time.Duration{}
	edge := func(from, to string, usual, now time.Duration) {
		f := flow{Caller: from, Service: to, Version: "v4", Calls: 1200}
		f.Latency.Add(now, 1200)
		s.Flows = append(s.Flows, f)
		s.usual[[2]string{from, to}] = usual
	}
	edge("", "gateway", 60*time.Millisecond, 1300*time.Millisecond)
	edge("gateway", "portal", 50*time.Millisecond, 1250*time.Millisecond)
	edge("portal", "historian", 40*time.Millisecond, 1200*time.Millisecond)
	edge("report", "historian", 40*time.Millisecond, 400*time.Millisecond)
	edge("portal", "auth", 4*time.Millisecond, 4*time.Millisecond)
	s.Findings = s.find()
	return s
}

// TestSlowIsFound: a latency that grew tenfold is one finding, about the service where it begins, with numbers and the
// instance; the services that wait are named in it, and Services and Topology show it.
func TestSlowIsFound(t *testing.T) {
	s := slowNight()
	if len(s.Findings) != 1 {
		t.Fatalf("findings: %+v", s.Findings)
	}
	f := s.Findings[0]
	if f.Kind != "slow" || !slices.Equal(f.About, []string{"historian"}) {
		t.Fatalf("finding: %+v", f)
	}
	text := f.What.In(english) + "\n" + f.Why.In(english)
	for _, want := range []string{"portal to historian", "usually 40 ms", "ops-4 ", "the others have",
		"gateway, portal"} {
		if !strings.Contains(text, want) {
			t.Errorf("the finding does not say %q:\n%s", want, text)
		}
	}
	if f.Severity != grave || f.Proof[0].Value == f.Proof[1].Value {
		t.Errorf("severity %v, facts %v", f.Severity, f.Proof)
	}
	if rows := s.services(); rows[0].Slow == nil || rows[0].Worse != much {
		t.Errorf("the first service is %s, slow %v", rows[0].Name, rows[0].Slow)
	}
	if lead := topologyLead(s.edges()).In(english); !strings.Contains(lead, "begins at: historian.") {
		t.Error(lead)
	}
	h := signedIn(t, still{s}, Config{})
	for path, want := range map[string]string{"/": f.What.In(english), "/wall": f.What.In(english),
		"/services": "ms, usually 40 ms", "/topology": "slow-e", "/services/historian": "usually 40 ms"} {
		if body := get(t, h, path).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s does not show %q", path, want)
		}
	}
}

// TestSlowWithin: where the time passes is said by the instances' own counts.
func TestSlowWithin(t *testing.T) {
	for name, c := range map[string]struct {
		own  func(e string) time.Duration // by process; 0: not told
		want string
	}{
		"one": {func(process string) time.Duration {
			if process == "ops-4/412/a" {
				return 1200
			}
			return 40
		}, "slow-one"},
		"all":  {func(string) time.Duration { return 1200 }, "slow-all"},
		"way":  {func(string) time.Duration { return 40 }, "slow-way"},
		"none": {func(string) time.Duration { return 0 }, "slow-untold"},
	} {
		s := slowNight()
		for at := range maps.Clone(s.Own) {
			own := figures{Calls: 400}
			own.Latency.Add(c.own(at.Process)*time.Millisecond, 400)
			if s.Own[at] = &own; c.own(at.Process) == 0 {
				delete(s.Own, at)
			}
		}
		e := slowest(s.edges())
		for _, o := range s.edges() {
			if o.From == "portal" && o.To == "historian" {
				e = &o
			}
		}
		if have := s.slowCause("historian", *e); have.Key != "finding."+c.want {
			t.Errorf("%s: %s", name, have.In(english))
		}
	}
}

// TestSlowCircle: services that call each other and are all slow are findings, too.
func TestSlowCircle(t *testing.T) {
	edges := []edgeRow{{From: "a", To: "b", Slow: true, P99: 400, Usual: 40},
		{From: "b", To: "a", Slow: true, P99: 100, Usual: 10}}
	if have := slowBegins(edges); !slices.Equal(have, []string{"a", "b"}) {
		t.Error(have)
	}
	if have := waitingFor("a", edges); !slices.Equal(have, []string{"b"}) {
		t.Error(have)
	}
}
