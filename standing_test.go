package skerry

import (
	"log/slog"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry/registrytest"
)

// TestRetiredSaysSo: a process that offers a version without calls, by the rules of the releases,
// logs it once.
func TestRetiredSaysSo(t *testing.T) {
	log := &transcript{}
	n := open(t, Config{StateDir: "none"}, memorySite(&registrytest.MemoryStore{}),
		WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	first := rollout.Entry{Cluster: n.cfg.Cluster, Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"kit": {Version: "v2"}}}
	must(t, "learn", n.rules.Learn(proven(t, n, first)))
	o := &registration{p: n.offers, service: "kit", entries: []config.Service{{Name: "kit", Version: "v3"}}}
	o.judge()
	o.judge()
	if got := log.count("level=WARN msg=\"this version is in no release"); got != 1 {
		t.Errorf("said %d times, want once", got)
	}
}

// TestOwnCallsAreNotCounted: statistics leave out the calls between skerry's processes.
func TestOwnCallsAreNotCounted(t *testing.T) {
	rows := []health.Row{{Key: health.Key{Service: membership.InternalService}}, {Key: health.Key{Service: "auth"}},
		{Key: health.Key{Service: membership.NodeService}}}
	if got := ofUsers(rows); len(got) != 1 || got[0].Service != "auth" ||
		rows[0].Service != membership.InternalService {
		t.Errorf("rows: %v", got)
	}
}
