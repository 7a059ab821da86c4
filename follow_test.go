package skerry

import (
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// TestRulesAreFollowedOnTheLAN: a process that missed a commit learns it by the announcement of a
// process that knows it.
func TestRulesAreFollowedOnTheLAN(t *testing.T) {
	site := lanSite(t)
	told, other := open(t, site), open(t, withState(t, site))
	eventually(t, "both know each other", func() bool {
		return len(told.members.List()) == 2 &&
			len(other.members.List()) == 2
	})
	entry := rollout.Entry{Cluster: site.Cluster, Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"auth": {Version: "v1"}}}
	must(t, "learn", told.Rollout().Learn(proven(t, told, entry)))
	eventually(t, "the other follows", func() bool { return other.Rollout().Log().Hash() == entry.Hash() })
}

func withState(t *testing.T, c Config) Config {
	t.Helper()
	c.StateDir = t.TempDir()
	return c
}
