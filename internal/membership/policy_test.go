package membership

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/registry"
)

func TestAnnouncedPolicies(t *testing.T) {
	for tag, want := range map[string]uint64{"18 0a1b2c3d": 18, "": 0, "18": 0, "18 0a": 0, "x 0a1b2c3d": 0,
		"-1 0a1b2c3d": 0, "18 0a1b2c3d0a1b2c3d": 0} {
		if got, _ := announcedPolicy(tag); got != want {
			t.Errorf("%q announces %d, want %d", tag, got, want)
		}
	}
	l := newList(nil)
	snap := registry.Snapshot{}
	for i, tag := range []string{"18 0a1b2c3d", "18 ffffffff", "19 00000000", "17 ffffffff", "rubbish", ""} {
		owner := registry.Owner{Host: "h", PID: i, Epoch: 1}
		in := registry.Instance{Service: NodeService, Host: "h", Port: 1 + i, Owner: owner}
		if tag != "" {
			in.Tags = map[string]string{policyTag: tag}
		}
		snap.Instances = append(snap.Instances, in)
	}
	if _, news := l.heard("lan", snap, snap.Instances[0].Started); !news {
		t.Error("new announcements are no news")
	}
	if _, news := l.heard("lan", snap, snap.Instances[0].Started); news {
		t.Error("the same announcements are news")
	}
	for _, c := range []struct {
		number uint64
		hash   string
		want   int
	}{{0, "", 4}, {18, "0a1b2c3d55", 2}, {18, "ffffffff55", 1}, {19, "0000000055", 0}} {
		if got := l.aheadPolicy(c.number, c.hash, map[registry.Owner]bool{}, 9); len(got) != c.want {
			t.Errorf("%d processes are ahead of %d %s, want %d", len(got), c.number, c.hash, c.want)
		}
	}
	if got := l.aheadPolicy(0, "", map[registry.Owner]bool{snap.Instances[0].Owner: true}, 2); len(got) != 2 {
		t.Errorf("%d of three processes, want two", len(got))
	}
}

// TestPolicyOfTheDatabaseHasItsAge: a process that comes late and has a policy from the database alone does not obey
// what was not confirmed in time.
func TestPolicyOfTheDatabaseHasItsAge(t *testing.T) {
	m := &Membership{cfg: Config{Cluster: "c"}, log: quiet, rules: newTestAgent(t), list: newList(nil)}
	m.policies.unkept = make(chan struct{}, 1)
	var err error
	m.policy, err = sitepolicy.New(sitepolicy.Config{Cluster: "c"})
	must(t, "holder", err)
	log := policylog.NewLog("c")
	one, err := log.Next("policy: 1\n").Seal()
	must(t, "seal", err)
	log, err = log.Merge(nil, nil, one)
	must(t, "merge", err)
	two := log.Next("policy: 1 # for a while\n")
	two.Confirm = 10 * time.Minute
	two, err = two.Seal()
	must(t, "seal", err)
	m.LearnPolicies([]policylog.Stored{{Entry: two, Age: 11 * time.Minute}, {Entry: one, Age: time.Hour}})
	if s := m.policy.Status(); s.Number != 1 || s.Newest != 2 {
		t.Errorf("policy %d is obeyed, %s; want 1, as 2 was not confirmed in time", s.Number, s.Because)
	}
}

// TestPolicyIsKeptAtOnce: a policy is on disk when it has come, so that a process that is killed obeys it from its next
// start on.
func TestPolicyIsKeptAtOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		files := state.Open(state.Config{Dir: dir, Cluster: "c", Name: "n", Log: quiet})
		defer files.Close()
		m := &Membership{cfg: Config{Cluster: "c", Files: files}, log: quiet, rules: newTestAgent(t),
			list: newList(nil)}
		m.policies.unkept = make(chan struct{}, 1)
		var err error
		m.policy, err = sitepolicy.New(sitepolicy.Config{Cluster: "c"})
		must(t, "holder", err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.remember(ctx) }()
		e, err := policylog.NewLog("c").Next("policy: 1\n").Seal()
		must(t, "seal", err)
		begun := time.Now()
		m.LearnPolicies([]policylog.Stored{{Entry: e}})
		synctest.Wait()
		saved, err := state.Read[sitepolicy.Saved](files, state.Policy)
		must(t, "read", err)
		if len(saved.Records) != 1 || time.Since(begun) > 0 {
			t.Errorf("%d entries are kept after %v, want 1 at once", len(saved.Records), time.Since(begun))
		}
		stop()
		must(t, "end", <-ended)
	})
}
