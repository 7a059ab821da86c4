package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/registry/postgres"
)

// evening is the night of the examples with an hour of minutes: report was called until 02:40, and at 02:30 it failed.
func evening() *snapshot {
	s := night()
	at := s.At.Truncate(time.Minute)
	for i := range keptPoints {
		m := minute{At: at.Add(time.Duration(i-59) * time.Minute),
			Edges: []edgeRow{{From: "portal", To: "auth", Rate: 400, TLS: true}}}
		switch clock := m.At.Format("15:04"); {
		case clock == "02:30":
			m.Edges = append(m.Edges, edgeRow{From: "portal", To: "archive", Rate: 3, Failed: 40, Kinds: "30 timeout"})
		case clock < "02:40":
			m.Edges = append(m.Edges, edgeRow{From: "portal", To: "archive", Rate: 3})
		}
		s.Minutes = append(s.Minutes, m)
	}
	return s
}

// boxes are the places of the services in the drawing of a page.
func boxes(t *testing.T, page string) map[string]string {
	t.Helper()
	found := map[string]string{}
	box := regexp.MustCompile(`<rect class="nb[^"]*" (x="\d+" y="\d+")[^>]*/><text class="nn"[^>]*>([^<]*)</text>`)
	for _, m := range box.FindAllStringSubmatch(page, -1) {
		found[m[2]] = m[1]
	}
	return found
}

// TestTopologyOfThePast: a minute of the past shows what was called then, and no service has another place in it.
func TestTopologyOfThePast(t *testing.T) {
	h := signedIn(t, still{evening()}, Config{})
	page := func(query string) string { return get(t, h, "/topology"+query).Body.String() }
	now, then, idle := boxes(t, page("")), boxes(t, page("?at=02:30")), boxes(t, page("?idle=1"))
	if now["archive"] != "" || now["portal"] == "" || then["archive"] == "" || then["report"] != "" ||
		idle["archive"] == "" {
		t.Errorf("now %v\nthen %v\nwith idle ones %v", now, then, idle)
	}
	for name, place := range then {
		if idle[name] != place || now[name] != "" && now[name] != place {
			t.Errorf("%s jumps from %s to %s, %s", name, now[name], place, idle[name])
		}
	}
	if got := page("?at=02:30"); !strings.Contains(got, "it begins at: archive") || !strings.Contains(got, "02:30:") ||
		!strings.Contains(got, `02%3A29"`) {
		t.Error("02:30 does not say that archive failed, or leads to no other minute")
	}
	if got := page("?at=02:50"); strings.Contains(got, "archive") {
		t.Error("an idle edge is drawn at 02:50")
	}
	if got := page("?idle=1"); !strings.Contains(got, `class="e w1 idle"`) || !strings.Contains(got, "idle-n") {
		t.Error("an idle edge is not grey")
	}
	bars := regexp.MustCompile(`<rect class="b ?([^"]*)"`).FindAllStringSubmatch(page("?at=02:30"), -1)
	bad := 0
	for _, b := range bars {
		if strings.Contains(b[1], "bad-b") {
			bad++
		}
	}
	if len(bars) != keptPoints || bad != 1 || !slices.ContainsFunc(bars, func(b []string) bool {
		return b[1] == "bad-b sel"
	}) {
		t.Errorf("the slider has %d minutes, %d failing: %v", len(bars), bad, bars)
	}
	for query, says := range map[string]string{"?at=01:10": "are not known", "?at=25:99": "is no time",
		"?at=" + url.QueryEscape(`"><script>`): "is no time", "?at=2027-01-01T00:00": "yet to come"} {
		if got := page(query); !strings.Contains(got, says) {
			t.Errorf("%s does not say %q", query, says)
		}
	}
}

// TestTopologyOfTheDatabase: what the console does not remember comes from the database; its errors are shown.
func TestTopologyOfTheDatabase(t *testing.T) {
	s := evening()
	var asked time.Time
	var fails error
	s.stored = func(_ context.Context, at time.Time) ([]edgeRow, error) {
		asked = at
		return []edgeRow{{From: "portal", To: "old", Rate: 2}}, fails
	}
	h := signedIn(t, still{s}, Config{})
	var doc struct{ Topology topologyPage }
	body := get(t, h, "/topology?at=01:10&format=json&from=portal&to=old").Body.Bytes()
	if err := json.Unmarshal(body, &doc); err != nil || doc.Topology.Source != "database" ||
		len(doc.Topology.Edges) != 1 || doc.Topology.Chosen == nil ||
		asked.Format(time.DateTime) != "2026-11-29 01:10:00" {
		t.Errorf("%v, asked for %v: %s", err, asked, body)
	}
	if asked = (time.Time{}); !strings.Contains(get(t, h, "/topology?at=04:00").Body.String(), "old") ||
		asked.Day() != 28 {
		t.Errorf("04:00 at 03:12 is %v", asked)
	}
	fails = errors.New("no <route>")
	if got := get(t, h, "/topology?at=01:10").Body.String(); !strings.Contains(got, "no &lt;route&gt;") {
		t.Error("the error of the database is not shown")
	}
}

// TestEdgeSaysItsAccess: a chosen edge has the rule of the policy that lets it pass, or refuses it.
func TestEdgeSaysItsAccess(t *testing.T) {
	s := night()
	s.Policy.Current.Text = "policy: 1\nservices:\n  historian:\n    access:\n      mode: enforce\n" +
		"      default: deny\n      allow: [{caller: [portal], why: pages need it}]\n"
	h := signedIn(t, still{s}, Config{})
	for from, says := range map[string]string{"portal": "services.historian.access.allow[0]",
		"report": `<b class="bad">`} {
		if got := get(t, h, "/topology?from="+from+"&to=historian").Body.String(); !strings.Contains(got, says) {
			t.Errorf("the edge from %s lacks %s", from, says)
		}
	}
}

// TestEdgesOfStatistics: rows of callees become edges by caller, those of callers and of skerry itself do not.
func TestEdgesOfStatistics(t *testing.T) {
	from := time.Unix(1e9, 0)
	row := func(side health.Side, service, peer string, calls, failed int64, took time.Duration) postgres.Stat {
		st := postgres.Stat{Service: service, Side: side.String(), Peer: peer, Calls: calls, Failures: failed,
			P50: time.Millisecond, P99: 9 * time.Millisecond, First: from, Last: from.Add(took)}
		st.Outcomes[health.Timeout] = failed
		return st
	}
	got := edgesOf([]postgres.Stat{
		row(health.Server, "auth", "portal", 600, 6, time.Minute),
		row(health.Server, "auth", "portal", 1200, 0, 2*time.Minute),
		row(health.Client, "auth", "10.0.0.1:7001", 600, 0, time.Minute),
		row(health.Server, "auth", "10.0.0.99", 60, 0, time.Minute),
		row(health.Client, "web", "10.0.0.2:8080", 120, 0, time.Minute),
		row(health.Server, "skerry.internal", "portal", 5, 0, time.Minute)})
	if len(got) == 3 && (got[1].From != "" || got[1].To != "web" || got[1].Served || got[1].Rate != 2 ||
		got[2].From != "ip:10.0.0.99" || got[2].To != "auth" || !got[2].Served) {
		t.Errorf("callers from outside are told as %+v", got[1:])
	}
	if len(got) != 3 || got[0].From != "portal" || got[0].To != "auth" || got[0].Rate != 20 ||
		fmt.Sprintf("%.3f", got[0].Failed) != "0.333" || !strings.Contains(got[0].Kinds, "timeout") || got[0].P99 != 9 {
		t.Errorf("%+v", got)
	}
}

// TestHourOfMinutes: each minute is kept once, and an hour of them.
func TestHourOfMinutes(t *testing.T) {
	l := newLive(Config{})
	at := time.Date(2026, 11, 29, 3, 0, 0, 0, time.Local)
	var s *snapshot
	for i := range 3 * keptPoints * 2 {
		s = &snapshot{At: at.Add(time.Duration(i) * 30 * time.Second), Entries: []discovery.Entry{},
			Flows: []flow{{Caller: "portal", Service: "auth", Calls: 60}}}
		l.keep(s)
	}
	if len(s.Minutes) != keptPoints || len(s.Minutes[0].Edges) != 1 ||
		s.Minutes[keptPoints-1].At.Sub(s.Minutes[0].At) != (keptPoints-1)*time.Minute {
		t.Errorf("%d minutes from %v", len(s.Minutes), s.Minutes[0].At)
	}
}
