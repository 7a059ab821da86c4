package skerry

import (
	"strings"
	"testing"

	"github.com/skerry/skerry/rpc"
)

// TestCalleesObeyThePolicy: a callee refuses what the site's policy forbids as soon as it holds the policy, by name and
// zone of the caller, and divides a limit of the site by the instances of its service.
func TestCalleesObeyThePolicy(t *testing.T) {
	site := lanSite(t)
	g := &greeter{name: "anna"}
	provider := offering(t, site, g)
	calling := withState(t, site)
	calling.Zone = "north"
	consumer := open(t, calling, WithCaller("report"))
	call := func() error {
		_, err := greet(t.Context(), consumer)
		return err
	}
	must(t, "call without a policy", call())
	learnPolicy(t, provider, signedPolicy(t, provider, `policy: 1
services: {greeter: {access: {mode: enforce, default: allow, deny: [{caller: report, zone: north, method: "who*"}]}}}
`))
	before := g.calls.Load()
	err := call()
	if rpc.CodeOf(err) != rpc.AccessDenied || !strings.Contains(err.Error(), "services.greeter.access.deny[0]") {
		t.Errorf("got %v", err)
	}
	if g.calls.Load() != before {
		t.Error("a denied call was executed")
	}
	if all, _ := provider.offers.server.DeniedCalls(); len(all) != 1 || all[0].Caller != "report" || !all[0].Enforced {
		t.Errorf("counted: %+v", all)
	}
	limit := "policy: 1\nservices: {greeter: {limits: [{rate: 1, burst: 4, per: site}]}}\n"
	second := offering(t, withState(t, site), &greeter{name: "berta"})
	eventually(t, "two instances are seen by both", func() bool {
		return provider.lists.Living("greeter") == 2 && second.lists.Living("greeter") == 2
	})
	before = g.calls.Load()
	learnPolicy(t, provider, signedPolicy(t, provider, limit))
	eventually(t, "the limit holds", func() bool { return rpc.CodeOf(call()) == rpc.Limited })
	if n := g.calls.Load() - before; n > 4 {
		t.Errorf("%d calls at once were executed by one of two instances", n)
	}
}

// TestCalleesCountTheirPeers: a callee knows the instances that share a limit of the site before the first call comes.
func TestCalleesCountTheirPeers(t *testing.T) {
	site := lanSite(t)
	provider := offering(t, site, &greeter{name: "anna"})
	offering(t, withState(t, site), &greeter{name: "berta"})
	learnPolicy(t, provider, signedPolicy(t, provider,
		"policy: 1\nservices: {greeter: {limits: [{rate: 1, per: site}]}}\n"))
	eventually(t, "the list of its own service", func() bool { return len(provider.lists.Services()) > 0 })
	eventually(t, "two instances are listed", func() bool { return provider.lists.Living("greeter") == 2 })
}

// TestTrialsCountPeersAtOnce: a callee that is asked what a policy would have done knows at the first question with
// which instances it would share a limit of the site.
func TestTrialsCountPeersAtOnce(t *testing.T) {
	site := lanSite(t)
	provider := offering(t, site, &greeter{name: "anna"})
	offering(t, withState(t, site), &greeter{name: "berta"})
	consumer := open(t, withState(t, site))
	self := provider.members.Owner()
	eventually(t, "the provider is known and was called", func() bool {
		_, err := greet(t.Context(), consumer)
		_, known := consumer.members.Find(self)
		return err == nil && known && len(provider.recent.Last(60).Kinds) > 0
	})
	k, _ := consumer.members.Find(self)
	peer, err := consumer.members.Peer(k)
	must(t, "peer", err)
	text := "policy: 1\nservices: {greeter: {limits: [{rate: 1, per: site}]}}\n"
	_, err = peer.TryPolicy(t.Context(), text, nil, 60)
	must(t, "try", err)
	if n := provider.lists.Living("greeter"); n != 2 {
		t.Errorf("the trial counted %d instances, want 2", n)
	}
}
