package broadcast

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

func testRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func iface(index int, name string, flags net.Flags, prefixes ...string) nic {
	n := nic{index: index, name: name, flags: flags}
	for _, p := range prefixes {
		n.prefixes = append(n.prefixes, netip.MustParsePrefix(p))
	}
	return n
}

const lanFlags = net.FlagUp | net.FlagBroadcast | net.FlagMulticast

// host is a machine with many kinds of interfaces.
var host = []nic{
	iface(1, "lo", net.FlagUp|net.FlagLoopback, "127.0.0.1/8", "::1/128"),
	iface(2, "docker0", lanFlags, "172.17.0.1/16"),
	iface(3, "eth0", lanFlags, "fe80::1/64", "10.1.0.5/24", "2001:db8::5/64"),
	iface(4, "eth1", lanFlags, "10.2.0.5/24", "10.9.0.5/24"),
	iface(5, "eth2", net.FlagBroadcast, "10.3.0.5/24"),
	iface(6, "wg0", net.FlagUp|net.FlagPointToPoint, "10.4.0.5/24"),
	iface(7, "eth3", lanFlags),
	iface(8, "serial", net.FlagUp|net.FlagPointToPoint, "10.5.0.5/32"),
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		wants string
		want  string
	}{
		{"", "lo=127.0.0.1 eth0=10.1.0.5 eth1=10.2.0.5"},
		{"eth1", "eth1=10.2.0.5"},
		{"eth*", "eth0=10.1.0.5 eth1=10.2.0.5"},
		{"10.9.0.0/16", "eth1=10.9.0.5"},
		{"10.1.0.5", "eth0=10.1.0.5"},
		{"10.0.0.0/8", "eth0=10.1.0.5 eth1=10.2.0.5 wg0=10.4.0.5 serial=10.5.0.5"},
		{"docker0,lo", "lo=127.0.0.1 docker0=172.17.0.1"},
		{"2001:db8::/32", "eth0=invalid IP"},
		{"eth2", ""}, // down
		{"192.168.0.0/16", ""},
	} {
		var got []string
		for _, ch := range choose(host, fields(c.wants)) {
			got = append(got, ch.name+"="+ch.v4.String())
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("interfaces %q: %s; want %s", c.wants, s, c.want)
		}
	}
}

// TestChooseVirtual: an interface that looks virtual carries the LAN when there is no other. Those
// of containers never do.
func TestChooseVirtual(t *testing.T) {
	for name, c := range map[string]struct {
		nics []nic
		want string
	}{
		"a router's bridge": {[]nic{host[0], iface(2, "br-lan", lanFlags, "10.95.0.1/24")}, "lo br-lan"},
		"a tunnel alone":    {[]nic{host[0], host[5]}, "lo wg0"},
		"no DHCP yet":       {[]nic{host[0], iface(2, "eth0", lanFlags, "fe80::1/64"), host[5]}, "lo eth0 wg0"},
		"a cable as well":   {[]nic{host[0], host[3], host[5]}, "lo eth1"},
		"containers":        {[]nic{host[0], host[1], iface(3, "br-0123456789ab", lanFlags, "172.18.0.1/16")}, "lo"},
	} {
		var got []string
		for _, ch := range choose(c.nics, nil) {
			got = append(got, ch.name)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s; want %s", name, s, c.want)
		}
	}
}

func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

func TestAdvertise(t *testing.T) {
	router := iface(2, "br-lan", lanFlags, "10.95.0.1/24")
	machine := iface(2, "vnet0", lanFlags, "10.95.0.1/24")
	containers := iface(2, "br-0123456789ab", lanFlags, "172.18.0.1/16")
	linkLocal := iface(2, "eth0", lanFlags, "169.254.7.7/16")
	for name, c := range map[string]struct {
		nics  []nic
		prefs string
		want  string // address@interface
		why   string // part of the reason, or of the error
	}{
		"the LAN":             {host, "", "10.1.0.5@eth0", "first address"},
		"by name":             {host, "eth1", "10.2.0.5@eth1", `"eth1"`},
		"by network":          {host, "10.9.0.0/16", "10.9.0.5@eth1", "10.9.0.0/16"},
		"first preference":    {host, "192.168.0.0/16,wg0,eth0", "10.4.0.5@wg0", `"wg0"`},
		"virtual, if named":   {host, "docker0", "172.17.0.1@docker0", "docker0"},
		"IPv6":                {host, "2001:db8::/32", "2001:db8::5@eth0", "2001"},
		"given, here":         {host, "10.9.0.5", "10.9.0.5@eth1", "10.9.0.5"},
		"given, elsewhere":    {host, "203.0.113.7", "203.0.113.7@", "no interface"},
		"no network":          {host[:2], "", "127.0.0.1@lo", "only processes of this host"},
		"nothing fits":        {host, "eth9", "", `fits ["eth9"]`},
		"down is not offered": {host, "eth2", "", "interface is down"},
		"nothing at all":      {nil, "", "", "no address that others could use"},
		"br-lan alone":        {[]nic{host[0], router}, "", "10.95.0.1@br-lan", "looks virtual"},
		"wg0 alone":           {[]nic{host[0], host[1], host[5]}, "", "10.4.0.5@wg0", "looks virtual"},
		"vnet0 and a cable":   {[]nic{host[0], machine, host[3]}, "", "10.2.0.5@eth1", "first address"},
		"containers alone":    {[]nic{host[0], containers}, "", "127.0.0.1@lo", "loopback"},
		"modem, no DHCP":      {[]nic{host[0], linkLocal, host[7]}, "", "10.5.0.5@serial", "looks virtual"},
		"link-local":          {[]nic{linkLocal, host[0]}, "", "169.254.7.7@eth0", "no other"},
	} {
		choice, considered, err := advertise(c.nics, fields(c.prefs))
		got, why := "", ""
		if err == nil {
			got, why = choice.Addr.String()+"@"+choice.Interface, choice.Reason
		} else {
			why = err.Error()
		}
		if got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %s because %s; want %s because …%s…", name, got, why, c.want, c.why)
		}
		for _, s := range considered {
			if s.Reason == "" {
				t.Errorf("%s: no reason given for %s %s", name, s.Interface, s.Addr)
			}
		}
	}
	if _, _, err := Advertise([]string{"10.0.0.0/99"}); err == nil || !strings.Contains(err.Error(), "10.0.0.0/99") {
		t.Errorf("a bad network: %v", err)
	}
}

// TestAdvertiseOthers: a host in several networks has an address in each, and
// interfaces in one network count once.
func TestAdvertiseOthers(t *testing.T) {
	wired := iface(3, "eth0", lanFlags, "10.1.0.5/24", "2001:db8::5/64")
	wireless := iface(4, "wlan0", lanFlags, "10.1.0.6/24")
	machines := iface(5, "eth1", lanFlags, "fe80::5/64", "10.2.0.5/24")
	for name, c := range map[string]struct {
		nics  []nic
		prefs string
		want  string
	}{
		"one network":              {[]nic{host[0], wired}, "", "[]"},
		"two networks":             {[]nic{host[0], host[1], wired, machines}, "", "[10.2.0.5]"},
		"two ways to one network":  {[]nic{host[0], wired, wireless}, "", "[]"},
		"VPN beside":               {[]nic{wired, host[5]}, "", "[]"},
		"VPN, named":               {[]nic{wired, host[5]}, "eth0,wg0", "[10.4.0.5]"},
		"the second one, named":    {[]nic{wired, machines}, "eth1", "[]"},
		"both named, in order":     {[]nic{wired, machines}, "eth1,eth0", "[10.1.0.5]"},
		"by network":               {[]nic{wired, machines}, "10.0.0.0/8", "[10.2.0.5]"},
		"virtual alone":            {[]nic{host[0], iface(2, "br-lan", lanFlags, "10.95.0.1/24"), host[5]}, "", "[]"},
		"IPv6 alone on the second": {[]nic{wired, iface(5, "eth1", lanFlags, "fd02::5/64")}, "", "[fd02::5]"},
	} {
		choice, _, err := advertise(c.nics, fields(c.prefs))
		if got := fmt.Sprint(choice.Others); err != nil || got != c.want {
			t.Errorf("%s: %s beside %v, %v; want %s", name, got, choice.Addr, err, c.want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	good := Config{Cluster: "site", Owner: sender}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for part, spoil := range map[string]func(*Config){
		"cluster":    func(c *Config) { c.Cluster = "" },
		"Owner":      func(c *Config) { c.Owner.Host = "" },
		"Port":       func(c *Config) { c.Port = 70000 },
		"Ports":      func(c *Config) { c.Ports = 1 },
		"over 65535": func(c *Config) { c.Port, c.Ports = 65000, 900 },
		"Announce":   func(c *Config) { c.Announce = time.Millisecond },
		"interfaces": func(c *Config) { c.Interfaces = []string{"10.0.0.0/40"} },
		"seeds":      func(c *Config) { c.Seeds = []string{"host:port"} },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("bad %s: %v", part, err)
		}
	}
}

// TestNarrowPorts: processes take the ports behind the shared one, and another one only when none of them is free.
func TestNarrowPorts(t *testing.T) {
	ports := portRange{defaultPort, leastPorts}
	addr := netip.MustParseAddr("127.77.59.4") // of this test alone
	taken := map[int]bool{}
	for n := range leastPorts + 1 {
		c, err := unicastSocket("udp4", addr, ports)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		port := c.LocalAddr().(*net.UDPAddr).Port
		if inside := port > ports.shared && port <= ports.shared+ports.behind; inside != (n < leastPorts) ||
			inside != ports.has(port) || taken[port] {
			t.Errorf("socket %d has port %d of %v, which a firewall lets through: %v", n, port, ports, ports.has(port))
		}
		taken[port] = true
	}
	if text := ports.String(); text != "7759-7763" {
		t.Errorf("the range is %s", text)
	}
}

// TestWarnLimit: each host is named once for each reason, also with several addresses, and few
// hosts are named at once.
func TestWarnLimit(t *testing.T) {
	var w warnLimit
	now := time.Unix(1, 0)
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	none := registry.Owner{}
	if !w.due(now, errMAC, none, at(1)) || w.due(now.Add(time.Minute), errMAC, none, at(1)) {
		t.Error("a reason and address is not warned of exactly once")
	}
	if !w.due(now, errForeign, none, at(1)) || !w.due(now.Add(warnEvery), errMAC, none, at(1)) {
		t.Error("another reason, or what goes on, is not warned of")
	}
	if !w.due(now, errMAC, sender, at(2)) || w.due(now, errMAC, sender, at(3)) || w.due(now, errMAC, none, at(3)) {
		t.Error("a host with two addresses is not warned of exactly once")
	}
	now = now.Add(time.Hour)
	for i := range 100_000 { // made-up processes of one address
		w.due(now, errMAC, registry.Owner{Host: "made-up", PID: i}, at(4))
	}
	if len(w.known) > warnMemory/2+2 {
		t.Errorf("%d addresses and processes are remembered", len(w.known))
	}
	warned := 0
	for i := range 1000 {
		if w.due(now, errMAC, none, at(100+i)) {
			warned++
		}
	}
	if warned != maxWarnings-1 {
		t.Errorf("%d warnings at once, want %d", warned, maxWarnings-1)
	}
}

func TestJudge(t *testing.T) {
	ok := InterfaceStats{Name: "eth0", Sent: 9, HeardOwn: 9, HeardGroup: 3, HeardDirect: 2}
	deaf, mute, alone := ok, ok, ok
	deaf.HeardOwn = 0
	mute.Sent, mute.SendFailed, mute.LastError = 0, 9, "network is unreachable"
	alone.HeardGroup, alone.HeardDirect = 0, 0
	others := []Peer{{Owner: sender}}
	otherKey := Stats{Interfaces: []InterfaceStats{alone}, WrongKey: 3, OtherKey: []KeyHolder{{Host: "h"}}}
	for name, c := range map[string]struct {
		stats Stats
		peers []Peer
		want  string // of the first finding
		only  bool
	}{
		"well":             {Stats{Interfaces: []InterfaceStats{ok}}, others, "", false},
		"alone":            {Stats{Interfaces: []InterfaceStats{alone}}, nil, "I hear only myself", true},
		"firewall":         {Stats{Interfaces: []InterfaceStats{deaf}}, others, "does not hear its own", false},
		"mute":             {Stats{Interfaces: []InterfaceStats{mute}}, others, "unreachable", false},
		"no interface":     {Stats{}, nil, "none of the chosen", true},
		"one way":          {Stats{Interfaces: []InterfaceStats{ok}, Unproven: 2}, nil, "none of them answers", false},
		"one of many":      {Stats{Interfaces: []InterfaceStats{ok}, Unproven: 2}, others, "did not answer", false},
		"wrong key":        {otherKey, nil, "", true},
		"misspelt cluster": {Stats{Interfaces: []InterfaceStats{alone}, Foreign: 3}, nil, "I hear only myself", true},
	} {
		rep := diagnose(c.stats, c.peers, portRange{defaultPort, defaultPorts}, false)
		if len(rep.Findings) > 0 {
			do := rep.Findings[0].Do
			if named := strings.Contains(do, "compare the cluster's name"); named != (c.stats.Foreign > 0) {
				t.Errorf("%s: what to do is %q", name, do)
			}
		}
		got := ""
		if len(rep.Findings) > 0 {
			got = rep.Findings[0].What
			if rep.Findings[0].Do == "" {
				t.Errorf("%s: nothing to do about %q", name, got)
			}
		}
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) || rep.OnlySelf != c.only {
			t.Errorf("%s: %q, only self %t; want %q, %t", name, got, rep.OnlySelf, c.want, c.only)
		}
	}
}
