package skerry

import (
	"errors"
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/wire"
)

// signedPolicy is an entry on what the node has, signed by the site's key.
func signedPolicy(t *testing.T, n *Node, text string) policylog.Entry {
	t.Helper()
	e, err := n.members.Policy().Log().Next(text).Seal()
	must(t, "seal", err)
	proof, err := n.trust.SiteSigner().Sign(policylog.Purpose, e.Body())
	must(t, "sign", err)
	return e.WithProof(proof)
}

func learnPolicy(t *testing.T, n *Node, e policylog.Entry) {
	t.Helper()
	_, err := n.members.Policy().Learn(nil, nil, e)
	must(t, "learn", err)
}

// obeys is the number of retries that the node's policy says for auth, -1 without one.
func obeys(n *Node) int {
	if r := n.members.Policy().Table().Rules("auth", "get"); r != nil && r.Retries != nil {
		return *r.Retries
	}
	return -1
}

// TestPolicyIsFollowedOnTheLAN: a process learns a policy by the announcement of a process that has it, of two that
// were made at once both take the same, a restarted process obeys it from the start, and an unsigned one is obeyed by
// none.
func TestPolicyIsFollowedOnTheLAN(t *testing.T) {
	site := lanSite(t)
	kept := withState(t, site)
	told, other := open(t, site), open(t, kept)
	eventually(t, "both know each other", func() bool {
		return len(told.members.List()) == 2 && len(other.members.List()) == 2
	})
	learnPolicy(t, told, signedPolicy(t, told, "policy: 1\nservices: {auth: {retries: 0}}\n"))
	eventually(t, "the other follows", func() bool { return obeys(other) == 0 })

	a := signedPolicy(t, told, "policy: 1\nservices: {auth: {retries: 1}}\n")
	b := signedPolicy(t, other, "policy: 1\nservices: {auth: {retries: 2}}\n")
	want := 1
	if b.Hash() > a.Hash() {
		want = 2
	}
	learnPolicy(t, told, a)
	learnPolicy(t, other, b)
	eventually(t, "one of two wins on both", func() bool { return obeys(told) == want && obeys(other) == want })
	loser := told
	if want == 1 {
		loser = other
	}
	eventually(t, "the other is named", func() bool { return len(loser.members.Policy().Status().Parted) == 1 })

	forged, err := told.members.Policy().Log().Next("policy: 1\nservices: {auth: {retries: 3}}\n").Seal()
	must(t, "seal", err)
	if _, err := told.members.Policy().Learn(nil, nil, forged); err == nil || obeys(told) != want {
		t.Errorf("an unsigned policy: %v, retries %d", err, obeys(told))
	}

	must(t, "close", other.Close())
	must(t, "close", told.Close())
	again := open(t, kept)
	if obeys(again) != want {
		t.Errorf("a restarted process that is alone obeys %d, want %d", obeys(again), want)
	}
}

// TestPolicyOfTheDatabase: what is committed in the database is obeyed by processes that follow it, and by those of the
// LAN alone that hear it from them; an unsigned row by none.
func TestPolicyOfTheDatabase(t *testing.T) {
	server := pgtest.Shared(t)
	site, url := lanSite(t), server.URL(server.CreateDB(t))
	both := open(t, withDatabase(site, config.ModeAuto, url))
	database := open(t, withDatabase(site, config.ModeDatabase, url))
	lan := open(t, withDatabase(site, config.ModeBroadcast, url))
	store := both.members.Database().Policies()
	must(t, "append", store.Append(t.Context(), signedPolicy(t, both, "policy: 1\nservices: {auth: {retries: 2}}\n")))
	eventually(t, "all obey", func() bool { return obeys(both) == 2 && obeys(database) == 2 && obeys(lan) == 2 })
	unsigned, err := both.members.Policy().Log().Next("policy: 1\nservices: {auth: {retries: 3}}\n").Seal()
	must(t, "seal", err)
	must(t, "append", store.Append(t.Context(), unsigned))
	// An operator's next entry is on what the processes believe, and reaches the table by Merge.
	next := signedPolicy(t, both, "policy: 1\nservices: {auth: {retries: 4}}\n")
	if err := store.Append(t.Context(), next); !errors.Is(err, policylog.ErrStale) {
		t.Errorf("append beside a row that was not signed: %v, want ErrStale", err)
	}
	must(t, "merge", store.Merge(t.Context(), next))
	eventually(t, "all obey what is signed", func() bool {
		return obeys(both) == 4 && obeys(database) == 4 && obeys(lan) == 4
	})
}

// TestPolicyIsBroughtByMembers: a member brings entries; what is not signed, or of another cluster, is refused by its
// kind, and a policy of many pages is fetched whole.
func TestPolicyIsBroughtByMembers(t *testing.T) {
	site := lanSite(t)
	told, other := open(t, site), open(t, site)
	var peer *membership.Peer
	eventually(t, "both know each other", func() bool {
		for _, k := range told.members.List() {
			if k.Owner == other.owner {
				p, err := told.members.Peer(k)
				peer = p
				return err == nil
			}
		}
		return false
	})
	e := signedPolicy(t, told, "policy: 1\nservices: {auth: {retries: 0}}\n")
	number, err := peer.BringPolicies(t.Context(), e)
	if err != nil || number != 1 || obeys(other) != 0 {
		t.Errorf("in force is %d, retries %d, %v", number, obeys(other), err)
	}
	unsigned, err := other.members.Policy().Log().Next("policy: 1\n").Seal()
	must(t, "seal", err)
	foreign, err := policylog.NewLog("elsewhere").Next("policy: 1\n").Seal()
	must(t, "seal", err)
	if _, err := peer.BringPolicies(t.Context(), unsigned); !errors.Is(err, rollout.ErrUnproven) {
		t.Errorf("an unsigned entry: %v", err)
	}
	if _, err := peer.BringPolicies(t.Context(), foreign); !errors.Is(err, rollout.ErrForeign) {
		t.Errorf("an entry of another cluster: %v", err)
	}
	if obeys(other) != 0 {
		t.Errorf("retries %d after refused entries", obeys(other))
	}
	long := "policy: 1\nservices: {auth: {retries: 1}}\n" + strings.Repeat("# a long text\n", 30_000)
	for range 3 {
		learnPolicy(t, other, signedPolicy(t, other, long))
	}
	got, err := peer.Policies(t.Context(), policylog.NewLog(site.Cluster))
	if err != nil || len(got.Entries) != 4 || got.Number != 4 || got.Status.Number != 4 {
		t.Errorf("%d entries, in force %d, %+v, %v; want 4", len(got.Entries), got.Number, got.Status, err)
	}
	eventually(t, "the other follows", func() bool { return obeys(told) == 1 })
}

// TestCalleeReturnsUpToDate: a callee was away while the policy changed. It has the new one before it offers a service.
func TestCalleeReturnsUpToDate(t *testing.T) {
	site := lanSite(t)
	kept := withState(t, site)
	kept.Service = config.Service{Name: "greeter", Version: "v1"}
	stays, leaves := open(t, site), offering(t, kept, &greeter{name: "anna"})
	eventually(t, "both know each other", func() bool {
		return len(stays.members.List()) == 2 && len(leaves.members.List()) == 2
	})
	learnPolicy(t, stays, signedPolicy(t, stays, "policy: 1\nservices: {auth: {retries: 1}}\n"))
	eventually(t, "the other follows", func() bool { return obeys(leaves) == 1 })
	must(t, "close", leaves.Close())
	learnPolicy(t, stays, signedPolicy(t, stays, "policy: 1\nservices: {auth: {retries: 2}}\n"))
	again := open(t, kept)
	if n := obeys(again); n != 1 {
		t.Fatalf("from its disk it obeys %d, want 1: the scene proves nothing", n)
	}
	must(t, "handle", again.Handle(t.Context(), "greeter", wire.NewInternalProcessor(&greeter{name: "anna"})))
	if n := obeys(again); n != 2 {
		t.Errorf("it offers a service by the policy with %d retries, want 2", n)
	}
}
