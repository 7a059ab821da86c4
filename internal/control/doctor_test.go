package control_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// TestProcessesExamineThemselves: a process examines itself and its host for members of the site only, and all that ask
// at one time get one examination.
func TestProcessesExamineThemselves(t *testing.T) {
	site := lanSite(t)
	offered := site
	offered.Service = config.Service{Name: "greeter", Version: "v1"}
	provider := open(t, offered)
	must(t, "handle", provider.Handle(t.Context(), "greeter", wire.NewInternalProcessor(&greeter{name: "anna"})))
	eventually(t, "the provider is listed", func() bool { return len(provider.Explain("greeter")) == 1 })
	addr := provider.Explain("greeter")[0].Addr
	stranger, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{ID: addr,
		Service: membership.InternalService, Addr: addr})})
	must(t, "client", err)
	defer stranger.Close()
	client, err := stranger.Service(membership.InternalService, rpc.ServiceOptions{})
	must(t, "service", err)
	if _, err := wire.NewInternalClient(client).Doctor(t.Context()); rpc.CodeOf(err) != rpc.NotMember {
		t.Errorf("a stranger has a process examine itself: %v", err)
	}
	site.StateDir = t.TempDir()
	looker := open(t, site)
	var all [3]control.Examined
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i], _ = control.Examine(context.Background(), looker) })
	}
	wg.Wait()
	for _, e := range all {
		if len(e.Reports) != 1 || len(e.Silent) > 0 || !e.Reports[0].At.Equal(all[0].Reports[0].At) {
			t.Fatalf("%+v", e)
		}
	}
	r := all[0].Reports[0]
	for _, area := range []string{"Process", "Address", "LAN", "Trust", "State"} {
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Area == area }) {
			t.Errorf("%s is not examined: %+v", area, r.Findings)
		}
	}
	if r.Process != provider.Membership().Owner().String() || r.Host == "" || r.Release == "" {
		t.Errorf("%+v", r)
	}
}
