package control_test

import (
	"slices"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/refusal"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// A running process reports its refusals to the members of its site only.
func TestRefusalsOfARunningProcess(t *testing.T) {
	site := lanSite(t)
	offered := site
	offered.Service = config.Service{Name: "greeter", Version: "v1"}
	provider := open(t, offered)
	must(t, "handle", provider.Handle(t.Context(), "greeter", wire.NewInternalProcessor(&greeter{name: "anna"})))
	eventually(t, "the provider is listed", func() bool { return len(provider.Explain("greeter")) == 1 })
	addr := provider.Explain("greeter")[0].Addr

	stranger, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{ID: addr,
		Service: membership.InternalService, Addr: addr})})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	client, err := stranger.Service(membership.InternalService, rpc.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.NewInternalClient(client).Refusals(t.Context()); rpc.CodeOf(err) != rpc.NotMember {
		t.Errorf("a stranger asks what was refused: %v", err)
	}

	site.StateDir = t.TempDir()
	looker := open(t, site)
	list, silent, err := control.AllRefusals(t.Context(), looker)
	i := slices.IndexFunc(list,
		func(r control.Refusals) bool { return r.Process == provider.Membership().Owner().String() })
	if err != nil || len(silent) > 0 || i < 0 {
		t.Fatalf("%+v, silent %v, %v", list, silent, err)
	}
	if got := list[i]; got.Kinds[refusal.Outsiders] != 1 || got.Members == 0 || got.Connections < got.Members ||
		got.Up <= 0 {
		t.Errorf("the process tells %+v", got)
	}
	for name, n := range list[i].Kinds {
		if n == 0 {
			t.Errorf("%s is told, and has not happened", name)
		}
	}
}
