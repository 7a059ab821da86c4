package control_test

import (
	"context"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// TestRecentCallsOfASite: calls between processes are counted by both sides and marked so; those of a plain Thrift
// client are known by the callee alone. A stranger hears nothing.
func TestRecentCallsOfASite(t *testing.T) {
	site := lanSite(t)
	offered := site
	offered.Service = config.Service{Name: "greeter", Version: "v1"}
	provider := open(t, offered)
	must(t, "handle", provider.Handle(t.Context(), "greeter", wire.NewInternalProcessor(&greeter{name: "anna"})))
	calling := site
	calling.StateDir = t.TempDir()
	calling.Service = config.Service{Name: "portal", Version: "v3"}
	caller := open(t, calling)
	site.StateDir = t.TempDir()
	looker := open(t, site)
	eventually(t, "the provider is listed", func() bool {
		return len(caller.Explain("greeter")) == 1 && len(looker.Explain("greeter")) == 1
	})
	addr := caller.Explain("greeter")[0].Addr
	for range 30 {
		if _, err := skerry.Stub(caller, "greeter", wire.NewInternalClient)().WhoAmI(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	plainCalls(t, addr, 7)

	r, err := control.AllRecent(t.Context(), looker, time.Minute)
	if err != nil || len(r.Silent) > 0 || r.Answered != 2 {
		t.Fatalf("%d answered, silent %v, %v", r.Answered, r.Silent, err)
	}
	var made, twice, plain control.RecentCalls
	for i := range r.Calls {
		switch c := &r.Calls[i]; {
		case c.Service != "greeter" || c.Method != "whoAmI":
		case !c.Served:
			made.Sum(c)
			if c.Caller != "portal" || c.Version != "v1" || c.Process != caller.Membership().Owner().String() {
				t.Errorf("made: %+v", c)
			}
		case c.Twice:
			twice.Sum(c)
		default:
			plain.Sum(c)
			if c.Caller != "ip:127.0.0.1" || c.Process != provider.Membership().Owner().String() {
				t.Errorf("of a plain client: %+v", c)
			}
		}
	}
	if made.Calls != 30 || twice.Calls != 30 || plain.Calls != 7 || plain.Failed+made.Failed > 0 || made.Rate == 0 ||
		made.Latency.Calls() != 30 || plain.Latency.Calls() != 7 {
		t.Errorf("made %+v\ntwice %+v\nplain %+v", made, twice, plain)
	}
	sum := int64(0)
	for _, n := range r.Trends["greeter"] {
		sum += n
	}
	if sum != 37 {
		t.Errorf("the trend of the service has %d calls: %v", sum, r.Trends)
	}
	stranger, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{ID: addr,
		Service: membership.InternalService, Addr: addr})})
	must(t, "client", err)
	defer stranger.Close()
	client, err := stranger.Service(membership.InternalService, rpc.ServiceOptions{})
	must(t, "service", err)
	if _, err := wire.NewInternalClient(client).Recent(t.Context(), 60); rpc.CodeOf(err) != rpc.NotMember {
		t.Errorf("a stranger asks for recent calls: %v", err)
	}
}

// plainCalls calls as a client of the stock Thrift library does.
func plainCalls(t *testing.T, addr string, n int) {
	socket := thrift.NewTSocketConf(addr, nil)
	to := thrift.NewTFramedTransportConf(socket, nil)
	must(t, "open", to.Open())
	defer to.Close()
	p := thrift.NewTBinaryProtocolConf(to, nil)
	c := wire.NewInternalClient(thrift.NewTStandardClient(p, p))
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := c.WhoAmI(ctx)
		must(t, "call", err)
		cancel()
	}
}
