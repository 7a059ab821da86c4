package skerry

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
)

// TestAddressComesLateAndChanges starts a provider on a host without an
// address. It is listed once the host has one, and again, without the old
// entry, when it gets another.
func TestAddressComesLateAndChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		memory := registrytest.NewMemory(nil, registry.NewOwner())
		work := run.NewGroup(ctx)
		work.Go(memory.Run)
		log := &transcript{}
		rules, err := participant.New(participant.Config{Process: "here/1/e"})
		if err != nil {
			t.Fatal(err)
		}
		n := &Node{rules: rules, log: slog.New(slog.NewTextHandler(log, nil)),
			sources: []discovery.Source{{Name: "memory", Registry: memory}}}
		n.cfg = Config{Service: config.Service{Name: "auth"}, StateDir: "none"}.WithDefaults()
		n.opts.sources = func(registry.Owner) []discovery.Source { return n.sources }
		n.files = n.openState()
		if n.members, err = n.newMembership(); err != nil {
			t.Fatal(err)
		}
		var host, listed atomic.Value
		host.Store("")
		listed.Store("")
		p := &provider{n: n, place: func(config.Service) (advertised, error) {
			if host.Load() == "" {
				return advertised{}, errors.New("no cable")
			}
			return advertised{host: host.Load().(string), port: 7000, reason: "eth0"}, nil
		}}
		stop := memory.Watch("auth", func(s registry.Snapshot) {
			text := ""
			for _, in := range s.Instances {
				text += in.Addr() + " "
			}
			listed.Store(text)
		})
		defer stop()
		o, err := newOffer(p, "auth")
		if err != nil {
			t.Fatal(err)
		}
		o.group.Go(o.keep)
		for _, step := range []struct{ host, want string }{
			{"", ""}, {"10.0.0.5", "10.0.0.5:7000 "}, {"10.0.0.5", "10.0.0.5:7000 "}, {"",
				"10.0.0.5:7000 "}, {"10.0.0.9", "10.0.0.9:7000 "},
		} {
			host.Store(step.host)
			time.Sleep(2 * addressEvery)
			synctest.Wait()
			if listed.Load() != step.want {
				t.Errorf("with the address %q: listed %q, want %q", step.host, listed.Load(), step.want)
			}
		}
		o.withdraw(ctx)
		synctest.Wait()
		if listed.Load() != "" {
			t.Errorf("withdrawn, and still listed: %q", listed.Load())
		}
		if got := log.count("no cable"); got != 2 {
			t.Errorf("the missing address was logged %d times, want once for each time it was missing", got)
		}
		cancel()
		if err := work.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestAdvertise(t *testing.T) {
	anywhere, local := &net.TCPAddr{IP: net.IPv6unspecified, Port: 7000}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1),
		Port: 7000}
	for _, c := range []struct {
		given      string
		listen     *net.TCPAddr
		interfaces []string
		host       string
		port       int
		reason     string
	}{
		{"10.1.2.3", anywhere, nil, "10.1.2.3", 7000, "advertise says so"},
		{"gate.site:9000", anywhere, nil, "gate.site", 9000, "advertise says so"},
		{"[fd00::1]:9000", anywhere, nil, "fd00::1", 9000, "advertise says so"},
		{"fd00::1", anywhere, nil, "fd00::1", 7000, "advertise says so"},
		{"127.0.0.0/8", anywhere, nil, "127.0.0.1", 7000, "127.0.0.0/8"},
		{"", local, nil, "127.0.0.1", 7000, "it listens there only"},
		{"", anywhere, []string{"127.0.0.0/8"}, "127.0.0.1", 7000, "127.0.0.0/8"},
	} {
		at, err := advertise(c.given, c.listen, c.interfaces)
		if err != nil || at.host != c.host || at.port != c.port || !strings.Contains(at.reason, c.reason) ||
			at.others != nil {
			t.Errorf("%q at %v: got %+v %v, want %s %d %q", c.given, c.listen, at, err, c.host, c.port, c.reason)
		}
	}
	if _, err := advertise("", anywhere, []string{"no-such-nic0"}); err == nil {
		t.Error("an address was found on an interface that is not there")
	}
}

// TestTransitions: the log has each change once, with its consequence.
func TestTransitions(t *testing.T) {
	lost := errors.New("connection refused")
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		mode  config.Mode
		heard []error
		want  []string
	}{
		{config.ModeAuto, []error{nil, lost, lost, nil, nil}, []string{"", "database lost: calls go on from the " +
			"known lists; the database is tried again until it is back; meanwhile the LAN says which processes come " +
			"and go", "", "database is back: registrations and lists go through it again", ""}},
		{config.ModeDatabase, []error{lost, lost, nil, lost},
			[]string{"database can't be used: it is tried again until it can, and everything is registered then", "",
				"database is back: registrations and lists go through it again",
				"database lost: calls go on from the known lists; the database is tried again until it is back"}},
	} {
		tr := transitions{mode: c.mode}
		for i, err := range c.heard {
			now = now.Add(time.Minute)
			if text, _ := tr.heard(err, now); text != c.want[i] {
				t.Errorf("%s, step %d: got %q, want %q", c.mode, i, text, c.want[i])
			}
		}
	}
}

// TestMisspeltServiceIsRefused: a service is refused if its name differs slightly from the
// configured one, because it would run without its version.
func TestMisspeltServiceIsRefused(t *testing.T) {
	n := &Node{cfg: Config{Services: []config.Service{{Name: "auth", Version: "v1"}, {Name: "mail"}}},
		log: slog.New(slog.DiscardHandler)}
	p := &provider{n: n}
	if _, err := newOffer(p, "atuh"); !errors.Is(err, registry.ErrInvalid) ||
		!strings.Contains(err.Error(), `the configuration names "auth"`) {
		t.Errorf("atuh: %v", err)
	}
	for _, service := range []string{"auth", "billing"} {
		o, err := newOffer(p, service)
		if err != nil {
			t.Errorf("%s: %v", service, err)
			continue
		}
		if want := map[string]string{"auth": "v1", "billing": ""}[service]; o.entries[0].Version != want {
			t.Errorf("%s: version %q", service, o.entries[0].Version)
		}
	}
}
