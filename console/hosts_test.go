package console

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/site/spread"
)

// agents are hosts as the night has them: one is well, one obeys an older plan and is locked, one has an instance in a
// crash loop, and one does not answer.
func agents(at time.Time) []spread.HostStatus {
	one := func(host string, plan int64, instances ...spread.Instance) spread.HostStatus {
		return spread.HostStatus{Agent: spread.Agent{Host: host, Process: host + "/9/a", Addr: "10.20.0.1:7000"},
			Status: &spread.Status{Host: host, Platform: "linux/amd64", Version: "0.1.0", Plan: plan,
				Instances: instances, StoreUsed: 200 << 20, StoreFree: 9 << 30}}
	}
	up := spread.Instance{Name: "auth/v1#1", Phase: "up", Since: at.Add(-time.Hour), PID: 412, Ports: []int{7001, 7002},
		Memory: 40 << 20}
	locked := one("ops-2", 3, up)
	locked.Status.Locked, locked.Status.Fetching = true, []string{"auth/v2: asked ops-3: no neighbour has it"}
	return []spread.HostStatus{one("ops-1", 4, up), locked,
		one("ops-3", 4, spread.Instance{Name: "db/v1#1", Phase: "backing off", CrashLooping: true, Restarts: 5,
			Since: at.Add(-time.Minute), LastExit: "exit status 3", Unenforced: []string{"cpu"}}),
		{Agent: spread.Agent{Host: "ops-4"}, Err: errors.New("connection refused\nby a host")}}
}

func TestHostsPage(t *testing.T) {
	s := night()
	s.Hosts = agents(s.At)
	s.Findings = s.find()
	h := signedIn(t, still{s}, Config{})
	for _, l := range languages {
		body := get(t, h, "/hosts", in(l)).Body.String()
		place := -1
		for _, want := range []string{"ops-3", "db/v1#1", l.Text("hosts.phase-crash"), "exit status 3", "ops-4",
			l.Text("hosts.silent"), "connection refused", "ops-2", l.Text("hosts.behind", "number", 4),
			l.Text("hosts.locked"), "no neighbour has it", "ops-1", l.Text("hosts.plan", "number", 4), "7001, 7002"} {
			next := strings.Index(body[max(place, 0):], want)
			if next < 0 {
				t.Fatalf("in %s %q is missing, or not where the worst come first", l, want)
			}
			place = max(place, 0) + next
		}
		if strings.Contains(body, "by a host") {
			t.Error("more than a line of an error is shown")
		}
		if text := get(t, h, "/", in(l)).Body.String(); !strings.Contains(text,
			l.Text("finding.crash", "instance", "db/v1#1", "host", "ops-3")) ||
			!strings.Contains(text, l.Text("finding.host-locked-why")) {
			t.Errorf("the overview in %s does not speak of them", l)
		}
	}
	var doc struct {
		Hosts struct {
			Plan  int64
			Hosts []struct {
				Host   string
				Behind bool
				Silent string
			}
		}
	}
	if err := json.Unmarshal(get(t, h, "/hosts?format=json").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range doc.Hosts.Hosts {
		names = append(names, x.Host)
		if x.Behind != (x.Host == "ops-2") || (x.Silent != "") != (x.Host == "ops-4") {
			t.Errorf("%+v", x)
		}
	}
	if want := []string{"ops-3", "ops-4", "ops-2", "ops-1"}; !slices.Equal(names, want) || doc.Hosts.Plan != 4 {
		t.Errorf("hosts %v by plan %d, want %v by 4", names, doc.Hosts.Plan, want)
	}
}

// TestLogOfInstance: operators read the last lines of an instance, as text; viewers do not.
func TestLogOfInstance(t *testing.T) {
	s := night()
	s.Hosts = agents(s.At)
	asked := ""
	s.agentLog = func(_ context.Context, host, instance string) ([]byte, error) {
		if asked = host + " " + instance; host == "ops-9" {
			return nil, spread.ErrNoAgent
		}
		return []byte("<script>alert(1)</script>\n\x1b[31mno such device\n"), nil
	}
	h := signedIn(t, still{s}, Config{})
	body := get(t, h, "/hosts?host=ops-3&log=db%2Fv1%231").Body.String()
	if !strings.Contains(body, "no such device") || strings.Contains(body, "<script>alert") ||
		strings.Contains(body, "\x1b") || asked != "ops-3 db/v1#1" {
		t.Errorf("asked %q, and the page is\n%s", asked, body)
	}
	if body := get(t, h, "/hosts?host=ops-9&log=x").Body.String(); !strings.Contains(body, "no agent of this host") {
		t.Errorf("of a host without an agent:\n%s", body)
	}
	viewer := as(t, h.Console, "wang", roleViewer)
	if w := get(t, viewer, "/hosts?host=ops-3&log=db%2Fv1%231"); strings.Contains(w.Body.String(), "such device") {
		t.Error("a viewer reads a log")
	}
	if body := get(t, h, "/hosts?host=&log=x").Body.String(); strings.Contains(body, `id="log"`) {
		t.Error("a log of no host is shown")
	}
}

// TestHostsAgree: without anything wrong the page says so, and finds nothing.
func TestHostsAgree(t *testing.T) {
	s := night()
	s.Hosts = agents(s.At)[:1]
	h := signedIn(t, still{s}, Config{})
	body := get(t, h, "/hosts", in(english)).Body.String()
	if !strings.Contains(body, english.Text("hosts.all-well", "n", 1, "plan", 4)) || len(s.findHosts()) != 0 {
		t.Errorf("%v\n%s", s.findHosts(), body)
	}
}
