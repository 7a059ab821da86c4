package main

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
)

// TestDoctorSaysTheAddress: doctor chooses the address as the process does. The cases
// include a name, a port, and the address at which the service listens.
func TestDoctorSaysTheAddress(t *testing.T) {
	for _, c := range []struct {
		service config.Service
		url     string
		want    string
		level   level
	}{
		{config.Service{Name: "kit", Advertise: "vm"}, "", "vm would be advertised", fine},
		{config.Service{Name: "kit", Advertise: "vm:7001"}, "", "vm:7001 would be advertised", fine},
		{config.Service{Name: "kit", Advertise: "10.93.0.1:7001"}, "", "10.93.0.1:7001 would be advertised", fine},
		{config.Service{Name: "kit", Listen: ":7001", Advertise: "10.93.0.1"}, "",
			"10.93.0.1:7001 would be advertised", fine},
		{config.Service{Name: "kit", Listen: "127.0.0.1:7001"}, "postgres://x",
			"127.0.0.1:7001 would be advertised", problem},
		{config.Service{Name: "kit", Listen: "127.0.0.1:7001"}, "", "127.0.0.1:7001 would be advertised", hint},
		{config.Service{Name: "kit", Advertise: "localhost"}, "", "other hosts are not told of kit", problem},
	} {
		conf := skerry.Config{Cluster: "a", Services: []config.Service{c.service},
			Database: config.Database{URL: c.url}}.WithDefaults()
		list := examineAddress(conf)
		if len(list) != 1 || !strings.Contains(string(list[0].Text), c.want) || list[0].Level != c.level {
			t.Errorf("%+v: %+v, want %q", c.service, list, c.want)
		}
	}
	if _, err := net.ResolveTCPAddr("tcp", ":0"); err != nil {
		t.Fatal(err)
	}
}

// TestAddressOfAnotherNetwork: doctor distinguishes an unreachable address outside the
// networks of this host from a firewall.
func TestAddressOfAnotherNetwork(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24"), netip.MustParsePrefix("fd00::/64")}
	for addr, want := range map[string]string{
		"10.77.0.9:7000":  "",
		"[fd00::9]:7000":  "",
		"127.0.0.1:7000":  "",
		"host.site:7000":  "",
		"10.78.0.9:7000":  "; it is in none of the networks of this host (10.77.0.0/24, fd00::/64)",
		"[fd01::9]:7000":  "; it is in none of the networks of this host (10.77.0.0/24, fd00::/64)",
		"192.0.2.1:65535": "; it is in none of the networks of this host (10.77.0.0/24, fd00::/64)",
	} {
		if got := offNetworks(addr, own); string(got) != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := offNetworks("10.78.0.9:7000", nil); got == "" {
		t.Error("a host without a network does not say so")
	}
}

// TestStandingsAreSaid: ls and doctor name the instances that get no calls by a release.
func TestStandingsAreSaid(t *testing.T) {
	list := []discovery.Entry{
		{Service: "kit", Version: "v1", Addr: "10.0.0.1:7000", State: discovery.OK, Standing: "retired"},
		{Service: "kit", Version: "v3", Addr: "10.0.0.3:7000", State: discovery.OK, Standing: "unreleased"},
		{Service: "kit", Version: "v2", Addr: "127.0.0.1:7000", State: discovery.Elsewhere, Why: "a loopback address"},
	}
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	a.instanceTable(listing{Instances: list}, false, time.Now())
	f := &findings{area: "Instances"}
	f.standings(list)
	if here := f.here(list); len(here) != 2 {
		t.Errorf("%d instances would be connected to, want 2", len(here))
	}
	a.out.Flush()
	for _, want := range []string{
		"ok,retired", "ok,unreleased", "refuses every call", "is in no release", "elsewhere",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("ls: want %q in\n%s", want, out.String())
		}
	}
	if len(f.list) != 3 {
		t.Errorf("doctor: %+v", f.list)
	}
	for _, x := range f.list {
		if x.Level != problem || x.Do == "" {
			t.Errorf("doctor: %+v", x)
		}
	}
}

func TestLostText(t *testing.T) {
	for why, want := range map[string]string{
		"dial tcp: connection refused":                                            "can't be reached",
		"permission denied for table skerry_instance; user x lacks rights: let":   "answers, and can't be used",
		"skerry has no tables in this database yet: the first service makes them": "answers, and can't be used",
	} {
		if got := lostText(why); got != want {
			t.Errorf("%s: %s, want %s", why, got, want)
		}
	}
}
