package skerry

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// TestLoopbackStaysOnItsHost: processes of its host call a service at 127.0.0.1. Processes of other
// hosts do not call it and log the reason.
func TestLoopbackStaysOnItsHost(t *testing.T) {
	site, log, far := lanSite(t), &transcript{}, &transcript{}
	offering(t, site, &greeter{name: "anna"}, WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	if got, err := greet(t.Context(), open(t, site)); got != "anna" || err != nil {
		t.Errorf("on the same host: %q, %v", got, err)
	}
	other := open(t, site, WithLogger(slog.New(slog.NewTextHandler(far, nil))),
		func(o *options) { o.here = "other.host" })
	eventually(t, "calls of another host say why there is none", func() bool {
		got, err := greet(t.Context(), other)
		if got != "" {
			t.Fatalf("on another host %s has answered", got)
		}
		return errors.Is(err, rpc.ErrNoInstance) && strings.Contains(err.Error(), "loopback")
	})
	eventually(t, "it is listed, and why it is not called", func() bool {
		list := other.Explain("greeter")
		return len(list) == 1 && list[0].State == discovery.Elsewhere && strings.Contains(list[0].Why, "loopback")
	})
	if n := log.count("level=WARN msg=\"only processes of this host can connect"); n != 1 {
		t.Errorf("the provider has warned %d times, want once", n)
	}
	if far.count("its address is for processes of its own host") == 0 {
		t.Error("the other host's log says nothing of it")
	}
	for _, m := range other.members.List() {
		if m.Owner != other.owner && other.members.Away(m) == nil {
			t.Errorf("the process at %s would be asked for its rules", m.Addr)
		}
	}
}

// TestNoAddressIsNotWritten: in mode auto, a process without a network is not written to the
// database. A process with an address from its operator is written.
func TestNoAddressIsNotWritten(t *testing.T) {
	for _, c := range []struct {
		mode   config.Mode
		named  bool
		source string
		want   int
	}{{config.ModeAuto, false, sourceDatabase, 0}, {config.ModeAuto, false, sourceLAN, 1}, {config.ModeAuto, true,
		sourceDatabase, 1}, {config.ModeDatabase, false, sourceDatabase, 1}} {
		n := &Node{cfg: Config{Mode: c.mode, Database: config.Database{URL: "postgres://"}},
			host: membership.Host{Name: "boot.1"}}
		o := &registration{p: &provider{n: n}, service: "kit", entries: []config.Service{{Name: "kit"}}}
		if c.named {
			o.entries[0].Advertise = "localhost"
		}
		in := n.host.Mark(registry.Instance{Service: "kit", Host: "127.0.0.1", Port: 7001}, "a loopback address")
		if got := o.shownTo(discovery.Source{Name: c.source}, []registry.Instance{in}); len(got) != c.want {
			t.Errorf("%s, named %v: %d instances for the %s, want %d", c.mode, c.named, len(got), c.source, c.want)
		}
	}
}
