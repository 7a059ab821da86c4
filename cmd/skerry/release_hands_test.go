package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
)

// testHands are agents without hosts: what they are told to run is listed in the drill at once.
type testHands struct {
	d        *drill
	names    []string // services of the site's plan
	orders   []string // that were given
	missing  error    // why nothing can be planned
	refused  error    // why no order can be given
	troubles []releases.Trouble
}

func (h *testHands) Plan(_ context.Context, reason string, moves ...releases.Move) (o releases.Order, err error) {
	if h.missing != nil {
		return o, h.missing
	}
	var give []func()
	for _, m := range moves {
		if !slices.Contains(h.names, m.Service) {
			continue
		}
		o.Services = append(o.Services, m.Service)
		if m.Start != "" {
			o.Will = append(o.Will, fmt.Sprintf("have the agents start %s/%s where %s runs", m.Service, m.Start,
				m.Like))
			give = append(give, func() { h.run(m.Service, m.Start) })
		}
		for _, version := range m.Stop {
			o.Will = append(o.Will, fmt.Sprintf("have the agents stop %s/%s", m.Service, version))
			give = append(give, func() { h.stop(m.Service, version) })
		}
	}
	if len(give) == 0 {
		return o, nil
	}
	o.Do = func(context.Context) ([]string, error) {
		if h.refused != nil {
			return nil, h.refused
		}
		h.orders = append(h.orders, strings.Join(o.Will, "; ")+" ("+reason+")")
		for _, f := range give {
			f()
		}
		return []string{"ops-9"}, nil
	}
	return o, nil
}

func (h *testHands) Troubles(context.Context, string, string) []releases.Trouble { return h.troubles }

func (h *testHands) run(service, version string) {
	if len(h.troubles) > 0 {
		return
	}
	h.stop(service, version)
	for i := range 2 {
		h.d.Instances = append(h.d.Instances, discovery.Entry{Service: service, Version: version,
			Addr: fmt.Sprintf("10.0.1.%d:7000", i+1), State: discovery.OK})
	}
}

func (h *testHands) stop(service, version string) {
	h.d.Instances = slices.DeleteFunc(h.d.Instances, func(e discovery.Entry) bool {
		return e.Service == service && e.Version == version
	})
}

// newHandsDrill returns a site with agents, on which auth/v1 and proc/v1 run.
func newHandsDrill() (*drill, *testHands) {
	d := newDrill()
	d.Instances = slices.DeleteFunc(d.Instances, func(e discovery.Entry) bool { return e.Version == "v2" })
	h := &testHands{d: d, names: []string{"auth", "proc"}}
	d.hands = h
	return d, h
}

func (h *testHands) wasTold(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, o := range h.orders {
		got = append(got, o[:strings.LastIndex(o, " (")])
	}
	if !slices.Equal(got, want) {
		t.Errorf("the agents were told\n%q\nwant\n%q", got, want)
	}
	h.orders = nil
}

// TestReleaseWithHands: agents start what is shipped, and stop what goes.
func TestReleaseWithHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, h := newHandsDrill()
		d.must(t, "start", "--reason", "tokens")
		out := d.must(t, "ship", "auth", "--version", "v2")
		for _, want := range []string{"- have the agents start auth/v2 where v1 runs", "auth/v2: 2 of 2 up",
			"ops-9 takes the plan when it answers"} {
			if !strings.Contains(out, want) {
				t.Errorf("ship says\n%s\nand not %q", out, want)
			}
		}
		h.wasTold(t, "have the agents start auth/v2 where v1 runs")
		d.must(t, "commit")
		h.wasTold(t)
		if out := d.must(t, "clean"); !strings.Contains(out, "the agents stop those that have not") {
			t.Errorf("clean says\n%s", out)
		}
		h.wasTold(t, "have the agents stop auth/v1")
	})
}

// TestReleaseOfServiceWithoutPlan: what the plan does not name is started and stopped by the operator.
func TestReleaseOfServiceWithoutPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, h := newHandsDrill()
		h.names = []string{"proc"}
		d.must(t, "start", "--reason", "tokens")
		code, out := d.on(t, "", "ship", "auth", "--version", "v2", "--wait", "1s", "--yes")
		if code != exitProblem || !strings.Contains(out, "0 of 2 instances of v2 are up") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		h.wasTold(t)
	})
}

// TestRollbackTakesAwayWhatWasNotShipped: the new version is in a crash loop, so nothing is shipped; rollback has the
// agents stop it.
func TestRollbackTakesAwayWhatWasNotShipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, h := newHandsDrill()
		h.troubles = []releases.Trouble{{Host: "ops-1", Text: "auth/v2#1: backing off"},
			{Host: "ops-2", Text: "auth/v2#1: crash looping: exit status 3", Final: true, Log: "no such device\n"}}
		d.must(t, "start", "--reason", "tokens")
		d.must(t, "config", "put", "proc", "version=v2") // never begun, and not in a rule of its own: v1 serves
		code, out := d.on(t, "", "ship", "auth", "--version", "v2", "--yes")
		if code != exitProblem || !strings.Contains(out, "ops-2: auth/v2#1: crash looping") &&
			!strings.Contains(out, "does not come up on ops-2") || !strings.Contains(out, "no such device") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		h.wasTold(t, "have the agents start auth/v2 where v1 runs")
		d.rules(t, map[string]string{"auth": "v1", "proc": "v1"})
		d.must(t, "rollback")
		h.wasTold(t, "have the agents stop auth/v2; have the agents stop proc/v2")
	})
}

// TestServingVersionIsNotStopped: settings may name the version that serves, and a service without a rule may serve
// by any.
func TestServingVersionIsNotStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, h := newHandsDrill()
		d.must(t, "start", "--reason", "tokens")
		d.must(t, "config", "put", "auth", "version=v1")
		d.must(t, "config", "put", "proc", "version=v1")
		d.rules(t, map[string]string{"auth": "v1"})
		d.must(t, "rollback")
		h.wasTold(t)
	})
}

// TestReleaseWhoseAgentsRefuse: nothing is shipped when the hosts can't be told.
func TestReleaseWhoseAgentsRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, h := newHandsDrill()
		d.must(t, "start", "--reason", "tokens")
		h.missing = errors.New("no store has auth/v2")
		code, out := d.on(t, "", "ship", "auth", "--version", "v2", "--yes")
		if code != exitProblem || !strings.Contains(out, "no store has auth/v2") || strings.Contains(out, "This will") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		h.missing, h.refused = nil, errors.New("the key may not sign plans")
		code, out = d.on(t, "", "ship", "auth", "--version", "v2", "--yes")
		if code != exitProblem || !strings.Contains(out, "the key may not sign plans") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		if r, _ := d.Newest(); len(r.Modules) > 0 {
			t.Errorf("shipped: %v", r.Modules)
		}
	})
}

// rules sets the versions that the log names, as a release does at its start.
func (d *drill) rules(t *testing.T, versions map[string]string) {
	t.Helper()
	if _, err := d.step("rules", func(r rollout.Release, _ *rollout.Log, _ rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, error) {
		all := map[string]rollout.Rule{}
		for service, version := range versions {
			all[service] = rollout.Rule{Version: version}
		}
		return r, all, nil
	}); err != nil {
		t.Fatal(err)
	}
}
