package skerry

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/registry/registrytest"
)

// The first trace of a process's first run meets the newest rules, in every mode.
func TestFirstTraceMeetsTheNewestRules(t *testing.T) {
	server := pgtest.Shared(t)
	for name, site := range map[string]Config{
		"broadcast":           lanSite(t),
		"database":            withDatabase(lanSite(t), config.ModeDatabase, server.URL(server.CreateDB(t))),
		"auto":                withDatabase(lanSite(t), config.ModeAuto, server.URL(server.CreateDB(t))),
		"auto, database away": withDatabase(lanSite(t), config.ModeAuto, "postgres://nobody@127.0.0.1:1/none"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site.StateDir = "none"
			first := offering(t, site, &greeter{name: "anna"})
			newest := rollout.Generation{N: 1}
			told := site.Database.URL == "" || strings.HasSuffix(name, "away")
			if told {
				must(t, "learn", first.Rollout().Learn(proven(t, first,
					first.Rollout().Log().Next("r1", map[string]rollout.Rule{"greeter": {Version: "v1"}}))))
			} else {
				must(t, "start", commitFirst(t, open(t, site, AsObserver())))
			}
			eventually(t, "the first process has the rules",
				func() bool { return first.Rollout().Log().Last() == newest })
			if told { // known without a table
				eventually(t, "and announces them", func() bool {
					k, _ := first.members.Find(first.owner)
					return k.Announced() == newest
				})
			}
			begun := time.Now()
			cold := open(t, site)
			ctx, end := cold.Begin(t.Context(), "job")
			defer end()
			if got := participant.TraceFrom(ctx).Token().Generation; got != newest {
				t.Errorf("the first trace met generation %v, want %v", got, newest)
			}
			t.Logf("known after %v", time.Since(begun))
		})
	}
}

// A process with rules on its disk goes on at once if no registry can be reached. It still asks the
// processes that it remembers.
func TestRulesFromTheDisk(t *testing.T) {
	site := lanSite(t)
	kept := site
	kept.StateDir = t.TempDir()
	rules := rollout.Entry{Cluster: site.Cluster, Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"greeter": {Version: "v1"}}}
	colleague := offering(t, site, &greeter{name: "anna"})
	before := open(t, kept)
	rules = proven(t, before, rules)
	must(t, "learn", before.Rollout().Learn(rules))
	eventually(t, "the colleague is remembered", func() bool { return len(before.members.List()) == 2 })
	must(t, "close", before.Close())
	next := colleague.Rollout().Log()
	if next, _ = next.Apply(rules); next == nil {
		t.Fatal("rules")
	}
	newer := proven(t, colleague, next.Next("r2", map[string]rollout.Rule{"greeter": {Version: "v2"}}))
	must(t, "learn", colleague.Rollout().Learn(rules, newer))

	away := withDatabase(kept, config.ModeDatabase, "postgres://nobody@127.0.0.1:1/none")
	n := open(t, away)
	if n.Rollout().Log().Last().N == 0 {
		t.Error("the rules on the disk were not found")
	}
	n.Rollout().Await(t.Context())
	eventually(t, "the remembered process has told its rules",
		func() bool { return n.Rollout().Log().Last() == newer.Generation })
}

// A call with a newer generation makes the process fetch it from processes that know it, even if
// none announces it.
func TestNewerRulesAreFetched(t *testing.T) {
	site, quick := memorySite(&registrytest.MemoryStore{}), Config{StateDir: "none",
		Service: config.Service{Listen: "127.0.0.1:0", Advertise: "127.0.0.1"}}
	first, second := open(t, quick, site), open(t, quick, site)
	eventually(t, "they know each other", func() bool { return len(first.members.List()) == 2 })
	first.Rollout().Await(t.Context())
	rules := rollout.Entry{Cluster: first.cfg.Cluster, Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"greeter": {Version: "v1"}}}
	must(t, "learn", second.Rollout().Learn(rules))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if !first.Rollout().CatchUp(ctx, rules.Generation) {
		t.Error("the rules were not fetched")
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if first.Rollout().CatchUp(short, rollout.Generation{N: 2}) {
		t.Error("rules that no process has were fetched")
	}
}
