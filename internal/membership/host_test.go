package membership

import (
	"context"
	"testing"

	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/trust"
	"github.com/skerry/skerry/registry"
)

// TestElsewhere: an address that means something on its own host only is one of
// this host by its mark, or else by the name of its owner's host.
func TestElsewhere(t *testing.T) {
	here := Host{Name: "boot.1", Owner: registry.Owner{Host: "alpha"}}
	in := func(host, owner, mark string) registry.Instance {
		i := registry.Instance{Service: "kit", Host: host, Port: 7001, Owner: registry.Owner{Host: owner}}
		if mark != "" {
			i.Tags = map[string]string{reach.HostTag: mark}
		}
		return i
	}
	for _, c := range []struct {
		in   registry.Instance
		here bool
	}{
		{in("10.0.0.5", "beta", ""), true},
		{in("vm", "beta", ""), true},
		{in("127.0.0.1", "alpha", "boot.1"), true},
		{in("127.0.0.1", "other-name", "boot.1"), true}, // a container with the host's network
		{in("127.0.0.1", "alpha", "boot.2"), false},     // another host, or network, of the same name
		{in("127.0.0.1", "beta", "boot.2"), false},
		{in("127.0.0.1", "alpha", ""), true},
		{in("127.0.0.1", "beta", ""), false},
		{in("localhost", "beta", ""), false},
		{in("::1", "beta", ""), false},
		{in("fe80::1", "beta", ""), false},
		{in("169.254.200.1", "beta", "boot.2"), false},
		{in("0.0.0.0", "beta", ""), false},
	} {
		if why := here.Elsewhere(c.in); (why == "") != c.here {
			t.Errorf("%s of %s, marked %q: %q", c.in.Host, c.in.Owner.Host, c.in.Tags[reach.HostTag], why)
		}
		if err := here.away(Member{Owner: c.in.Owner, Addr: c.in.Addr(),
			mark: c.in.Tags[reach.HostTag]}); (err == nil) != c.here {
			t.Errorf("process at %s of %s: %v", c.in.Host, c.in.Owner.Host, err)
		}
	}
}

// TestIntroductionFromAnotherHost: a process is not taken in at an address of
// its own host only.
func TestIntroductionFromAnotherHost(t *testing.T) {
	believes, err := trust.New(trust.Config{Cluster: "test", Mode: trust.Open})
	must(t, "trust", err)
	s := &Service{m: &Membership{cfg: Config{Trust: believes}}}
	m := Member{Owner: registry.Owner{Host: "beta", PID: 1, Epoch: 2}, Addr: "127.0.0.1:7001"}
	if err := s.reachable(context.Background(), m); err != nil {
		t.Errorf("from this host: %v", err)
	}
}
