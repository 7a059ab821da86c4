package skerry

import (
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/refusal"
	"github.com/skerry/skerry/rpc"
)

// Both sides follow site.calls. A caller with sealed uses site connections, and a process with
// sealed refuses unencrypted calls, unexecuted.
func TestSealedCalls(t *testing.T) {
	for _, test := range []struct {
		provider, consumer string
		taken              bool
	}{
		{"", "", true},
		{"", config.CallsSealed, true}, // during a migration, process by process
		{config.CallsPrefer, "", true},
		{config.CallsPrefer, config.CallsPrefer, true},
		{config.CallsSealed, config.CallsPrefer, true},
		{config.CallsSealed, config.CallsSealed, true},
		{config.CallsSealed, "", false},
	} {
		t.Run(test.provider+" is called by "+test.consumer, func(t *testing.T) {
			site := lanSite(t)
			site.Site.Calls = test.provider
			g := &greeter{name: "anna"}
			provider := offering(t, site, g)
			site.Site.Calls, site.StateDir = test.consumer, t.TempDir()
			consumer := open(t, site)
			got, err := greet(t.Context(), consumer)
			if (err == nil && got == "anna") != test.taken {
				t.Fatalf("got %q, %v", got, err)
			}
			refused, err2 := provider.internal.Refusals(t.Context())
			must(t, "refusals", err2)
			told := refused.Kinds[refusal.InTheClear]
			if test.taken {
				if told != 0 {
					t.Errorf("%d refusals are told", told)
				}
				return
			}
			if rpc.CodeOf(err) != rpc.NotSealed || !rpc.SafeToRetry(err) ||
				!strings.Contains(err.Error(), "site.calls") {
				t.Errorf("the caller reads %v", err)
			}
			if g.calls.Load() != 0 || told == 0 {
				t.Errorf("%d calls were executed, %d refusals are told", g.calls.Load(), told)
			}
		})
	}
}
