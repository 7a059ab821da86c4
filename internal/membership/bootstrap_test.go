package membership

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/registry"
)

// colleague is another process as a registry lists it.
func colleague(host string, up time.Duration, rules string) registry.Instance {
	return registry.Instance{Service: NodeService, Host: host, Port: 1,
		Owner:   registry.Owner{Host: host, PID: 1, Epoch: 7},
		Started: time.Now().Add(-up), Tags: map[string]string{rulesTag: rules}}
}

// A process begins traces when it knows the rules of its site, and not much
// later than it could.
func TestTracesWaitForTheRules(t *testing.T) {
	gone := registry.Snapshot{Lost: errors.New("connection refused")}
	list := func(c *bootstrap, source string, in ...registry.Instance) []registry.Instance {
		return c.list(source, registry.Snapshot{Instances: in}, rollout.Generation{N: 5}, time.Now())
	}
	after := func(d time.Duration, do func()) { time.AfterFunc(d, do) }
	for _, test := range []struct {
		name    string
		sources string
		kept    bool
		heard   func(c *bootstrap)
		took    time.Duration
		because string
	}{
		{"no process on the LAN", "lan", false, func(c *bootstrap) {}, aloneLimit, "no other process"},
		{"an old process knows nothing newer", "lan", false, func(c *bootstrap) {
			after(40*time.Millisecond, func() { list(c, "lan", colleague("a", time.Minute, "5 x")) })
		}, 40 * time.Millisecond, "a/1/"},
		{"newer rules are fetched first", "lan", false, func(c *bootstrap) {
			after(40*time.Millisecond, func() {
				if ask := list(c, "lan", colleague("a", time.Minute, "6 x")); len(ask) != 1 {
					t.Errorf("asked are %v", ask)
				}
			})
			after(90*time.Millisecond, func() { c.answered(colleague("a", 0, "").Owner, nil) })
		}, 90 * time.Millisecond, "a/1/"},
		{"a process that does not answer is no reason", "lan", false, func(c *bootstrap) {
			after(40*time.Millisecond, func() { list(c, "lan", colleague("a", time.Minute, "6 x")) })
			after(90*time.Millisecond, func() { c.answered(colleague("a", 0, "").Owner, errors.New("reset")) })
			after(200*time.Millisecond, func() { list(c, "lan", colleague("b", time.Minute, "5 x")) })
		}, 200 * time.Millisecond, "b/1/"},
		{"a process that has learnt newer ones meanwhile is asked then", "lan", false, func(c *bootstrap) {
			after(10*time.Millisecond, func() { list(c, "lan", colleague("a", 0, "5 x")) })
			after(100*time.Millisecond, func() {
				if ask := list(c, "lan", colleague("a", 0, "6 x")); len(ask) != 1 {
					t.Errorf("asked are %v", ask)
				}
			})
			after(120*time.Millisecond, func() {
				if ask := list(c, "lan", colleague("a", 0, "7 x")); len(ask) != 0 {
					t.Errorf("asked twice at a time: %v", ask)
				}
			})
			after(130*time.Millisecond, func() {
				c.answered(colleague("a", 0, "").Owner, nil)
				if ask := c.more(time.Now()); len(ask) != 1 {
					t.Errorf("asked once more are %v", ask)
				}
			})
			after(150*time.Millisecond, func() { c.answered(colleague("a", 0, "").Owner, nil) })
		}, 10*time.Millisecond + youngLimit, "1 others"},
		{"three are asked, and others when they do not answer", "lan", false, func(c *bootstrap) {
			var later atomic.Int32
			c.ask = func(registry.Instance) { later.Add(1) }
			after(40*time.Millisecond, func() {
				var all []registry.Instance
				for i := range 20 {
					all = append(all, colleague(string(rune('a'+i)), time.Minute, []string{"6 x", "7 y"}[i/16]))
				}
				ask := list(c, "lan", all...)
				if len(ask) != coldAsks || slices.ContainsFunc(ask,
					func(in registry.Instance) bool { return in.Tags[rulesTag] != "7 y" }) {
					t.Errorf("asked are %v", ask)
				}
				if more := c.more(time.Now()); len(more) != 0 {
					t.Errorf("asked at once are also %v", more)
				}
				after(coldPause+20*time.Millisecond, func() {
					if n := later.Load(); n == 0 || n > coldAsks {
						t.Errorf("%d are asked later", n)
					}
					c.answered(ask[1].Owner, nil)
				})
			})
		}, 60*time.Millisecond + coldPause, "/1/"},
		{"all have just started", "lan", false, func(c *bootstrap) {
			after(40*time.Millisecond, func() { list(c, "lan", colleague("a", time.Millisecond, "0")) })
			after(60*time.Millisecond, func() { list(c, "lan", colleague("b", time.Millisecond, "0")) })
		}, 60*time.Millisecond + youngLimit, "2 others"},
		{"the database's table", "database lan", false, func(c *bootstrap) {
			after(30*time.Millisecond, c.read)
		}, 30 * time.Millisecond, "database"},
		{"the database is away, the LAN knows", "database lan", false, func(c *bootstrap) {
			c.list("database", gone, rollout.Generation{}, time.Now())
			after(80*time.Millisecond, func() { list(c, "lan", colleague("a", time.Minute, "2 x")) })
		}, 80 * time.Millisecond, "a/1/"},
		{"newer rules come over a slow line", "lan", false, func(c *bootstrap) {
			after(600*time.Millisecond, func() { list(c, "lan", colleague("a", time.Minute, "6 x")) })
			after(3*time.Second, func() { c.answered(colleague("a", 0, "").Owner, nil) })
		}, 3 * time.Second, "a/1/"},
		{"newer rules come over a slow line, old ones are at hand", "database lan", true, func(c *bootstrap) {
			after(600*time.Millisecond, func() { list(c, "lan", colleague("a", time.Minute, "6 x")) })
			after(3*time.Second, func() { c.answered(colleague("a", 0, "").Owner, nil) })
		}, 3 * time.Second, "a/1/"},
		{"newer rules never come", "lan", false, func(c *bootstrap) {
			after(600*time.Millisecond, func() { list(c, "lan", colleague("a", time.Minute, "6 x")) })
		}, newsLimit, "no process has said"},
		{"a process that does not say what it has never answers", "lan", false, func(c *bootstrap) {
			after(600*time.Millisecond, func() { list(c, "lan", colleague("a", time.Minute, "")) })
		}, coldLimit, "no process has said"},
		{"the database is frozen", "database", false, func(c *bootstrap) {}, coldLimit, "no process has said"},
		{"the database is frozen, old rules are at hand", "database", true, func(c *bootstrap) {}, keptLimit,
			"no process has said"},
		{"everything is away", "database lan", true, func(c *bootstrap) {
			c.remembered(colleague("a", 0, "").Owner)
			c.list("database", gone, rollout.Generation{}, time.Now())
			c.list("lan", gone, rollout.Generation{}, time.Now())
		}, 0, "no registry"},
		{"everything is away, a process of the last run is not", "database", false, func(c *bootstrap) {
			c.remembered(colleague("a", 0, "").Owner)
			c.list("database", gone, rollout.Generation{}, time.Now())
			after(20*time.Millisecond, func() { c.answered(colleague("a", 0, "").Owner, nil) })
		}, 20 * time.Millisecond, "a/1/"},
		{"a complete list without a process", "memory", false, func(c *bootstrap) {
			after(time.Millisecond, func() { list(c, "memory") })
		}, time.Millisecond, "no other process"},
		{"a complete list whose processes say nothing of rules", "memory", false, func(c *bootstrap) {
			after(time.Millisecond, func() {
				all := []registry.Instance{colleague("a", time.Minute, ""), colleague("b", time.Minute, ""),
					colleague("c", time.Minute, ""), colleague("d", time.Minute, "")}
				if ask := list(c, "memory", all...); len(ask) != coldAsks {
					t.Errorf("%d are asked", len(ask))
				}
			})
			after(5*time.Millisecond, func() { c.answered(colleague("c", 0, "").Owner, nil) })
		}, 5 * time.Millisecond, "c/1/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sources []discovery.Source
				for name := range strings.FieldsSeq(test.sources) {
					sources = append(sources, discovery.Source{Name: name})
				}
				agent, _ := participant.New(participant.Config{Process: "me"})
				var text strings.Builder
				held, err := sitepolicy.New(sitepolicy.Config{Cluster: "c"})
				must(t, "policy", err)
				n := &Membership{rules: agent, log: slog.New(slog.NewTextHandler(&text, nil)), policy: held,
					list:      newList(nil),
					bootstrap: newBootstrap(registry.Owner{Host: "me"}, sources, test.kept, time.Now())}
				n.known = agent.BeginBootstrap()
				test.heard(n.bootstrap)
				begun, g := time.Now(), run.NewGroup(t.Context())
				g.Go(n.learnFirst)
				agent.Await(t.Context())
				if took := time.Since(begun); took != test.took || !agent.Ready() {
					t.Errorf("known after %v, want %v", took, test.took)
				}
				_ = g.Wait()
				if !strings.Contains(text.String(), test.because) {
					t.Errorf("want because %q: %s", test.because, text.String())
				}
			})
		})
	}
}
