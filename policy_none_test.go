package skerry

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
)

// TestAProcessObeysNoPolicy: a process with policy.obey: none executes what the policy denies, holds the policy all the
// same, and says so in its log, to the processes that list it and in its status.
func TestAProcessObeysNoPolicy(t *testing.T) {
	site := lanSite(t)
	log := &transcript{}
	none := withState(t, site)
	none.Policy.Obey = config.ObeyNone
	provider := offering(t, none, &greeter{name: "anna"}, WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	if log.count("this process obeys no policy of the site") != 1 {
		t.Error("the log does not say it at the start")
	}
	other := open(t, site)
	e := signedPolicy(t, other,
		"policy: 1\nservices: {greeter: {access: {mode: enforce, default: deny, allow: [{caller: portal}]}}}\n")
	learnPolicy(t, other, e)
	eventually(t, "the provider holds it", func() bool {
		number, _ := provider.members.Policy().Newest()
		return number == 1
	})
	if got, err := greet(t.Context(), other); got != "anna" || err != nil {
		t.Errorf("a call that the policy denies: %q, %v", got, err)
	}
	if all, _ := provider.offers.server.DeniedCalls(); len(all) != 0 {
		t.Errorf("counted: %+v", all)
	}
	s := provider.members.Policy().Status()
	if s.Number != 0 || s.Newest != 1 || s.Obey != "none" || !strings.Contains(s.Because, "policy.obey") {
		t.Errorf("its status: %+v", s)
	}
	if got := other.members.ObeyNone(); len(got) != 1 || got[0] != provider.owner.String() {
		t.Errorf("the other process knows %v", got)
	}
	if log.count("and this process obeys none of it") != 1 {
		t.Error("the log does not say it with the policy")
	}
	must(t, "close", provider.Close())
	must(t, "close", other.Close())
	none.Policy.Obey = ""
	again := offering(t, none, &greeter{name: "anna"})
	if !again.members.Policy().Table().Rules("greeter", "").Protects() {
		t.Error("after the emergency the kept policy is not in force")
	}
}
