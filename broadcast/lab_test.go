//go:build linux

package broadcast

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// TestLANBounds measures the bounds of the LAN on eight hosts, two of them
// with two interfaces, without loss and with 10 %.
func TestLANBounds(t *testing.T) {
	for _, loss := range []float64{0, 10} {
		known := time.Second
		if loss > 0 {
			known = 3 * time.Second
		}
		t.Run(fmt.Sprintf("loss %.0f%%", loss), func(t *testing.T) {
			l := lab.New(t, 8, lab.Second(2))
			l.Loss(loss)
			var nodes []*node
			for _, h := range l.Hosts() {
				nodes = append(nodes, startNode(t, h, nodeConfig{Key: "k", Port: 7000}))
			}
			all := addrs(nodes)
			t.Logf("all know all after %v, processes started", agree(t, 10*time.Second, nodes, all...))

			nodes[7].tell("put 7001")
			fresh := append(slices.Clone(all), l.Host(7).IP(0)+":7001")
			t.Logf("a new instance is known by all after %v", agree(t, known, nodes, fresh...))

			victim := nodes[3]
			begin := time.Now()
			victim.p.Kill()
			rest := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n == victim })
			for _, n := range rest {
				n.tell("suspect " + victim.addr)
			}
			left := slices.DeleteFunc(slices.Clone(fresh), func(a string) bool { return a == victim.addr })
			agree(t, time.Second, rest, left...)
			t.Logf("a killed process is off all lists after %v", time.Since(begin))
			if !rest[0].gone(victim.addr, "silent") {
				t.Errorf("departure of the killed process: %v", rest[0].current.Gone)
			}

			polite := nodes[5]
			polite.tell("leave")
			rest = slices.DeleteFunc(rest, func(n *node) bool { return n == polite })
			left = slices.DeleteFunc(left, func(a string) bool { return a == polite.addr })
			t.Logf("a goodbye has reached all after %v", agree(t, 300*time.Millisecond, rest, left...))
			if !rest[0].gone(polite.addr, "withdrawn") {
				t.Errorf("departure of the polite process: %v", rest[0].current.Gone)
			}
			if err := polite.p.Wait(2 * time.Second); err != nil {
				t.Errorf("leaving: %v: %s", err, polite.p.Output())
			}
		})
	}
}

// TestLANFirewall: hosts that accept only the UDP ports of skerry, and packets of their own
// connections: by default, and with fewer ports.
func TestLANFirewall(t *testing.T) {
	t.Parallel()
	for _, ports := range []int{defaultPorts, 8} {
		t.Run(fmt.Sprint(ports, " ports"), func(t *testing.T) { firewalled(t, ports) })
	}
}

func firewalled(t *testing.T, ports int) {
	l := lab.New(t, 3)
	var nodes []*node
	for _, h := range l.Hosts() {
		h.Run("nft", "add table inet fw")
		h.Run("nft", "add chain inet fw in { type filter hook input priority 0; policy drop; }")
		h.Run("nft", "add rule inet fw in ct state established,related accept")
		h.Run("nft", fmt.Sprintf("add rule inet fw in udp dport %d-%d accept", defaultPort, defaultPort+ports))
		nodes = append(nodes, startNode(t, h, nodeConfig{Key: "k", Port: defaultPort, Ports: ports}))
		t.Logf("%d hosts know each other after %v", len(nodes), agree(t, time.Second, nodes, addrs(nodes)...))
	}
}

// TestLANPartition: a network falls apart and is repaired, with announcements each second instead
// of three minutes.
func TestLANPartition(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 4)
	var nodes []*node
	for _, h := range l.Hosts() {
		nodes = append(nodes, startNode(t, h, nodeConfig{Key: "k", Port: 7000, Announce: 2 * time.Second}))
	}
	all := addrs(nodes)
	agree(t, 5*time.Second, nodes, all...)
	l.Partition(0, 1)
	const gone = 20 * time.Second // one missed announcement, and 16 probes in 6.4 s
	agree(t, gone, nodes[:2], all[:2]...)
	agree(t, gone, nodes[2:], all[2:]...)
	l.Partition()
	t.Logf("whole again after %v", agree(t, 4*time.Second, nodes, all...))
}

// TestLANSeeds: no broadcast passes. One seed connects all processes, consumers included, in any
// order of their starts.
func TestLANSeeds(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 4)
	l.BlockBroadcast(true)
	seeds := []string{l.Host(0).IP(0)}
	// The seed does not start first: it is queried until it answers.
	c := startNode(t, l.Host(3), nodeConfig{Key: "k", Seeds: seeds, Announce: 2 * time.Second})
	b := startNode(t, l.Host(1), nodeConfig{Key: "k", Seeds: seeds, Port: 7000, Announce: 2 * time.Second})
	agree(t, 5*time.Second, []*node{b}, b.addr)
	a := startNode(t, l.Host(0), nodeConfig{Key: "k", Port: 7000, Announce: 2 * time.Second})
	agree(t, 15*time.Second, []*node{a, b, c}, a.addr, b.addr)
	d := startNode(t, l.Host(2), nodeConfig{Key: "k", Seeds: seeds, Port: 7000, Announce: 2 * time.Second})
	t.Logf(
		"a newcomer with the seed is known by all after %v",
		agree(t, 4*time.Second, []*node{a, b, c, d}, a.addr, b.addr, d.addr),
	)
	d.tell("put 7001")
	t.Logf(
		"its second instance after %v",
		agree(t, time.Second, []*node{a, b, c, d}, a.addr, b.addr, d.addr, l.Host(2).IP(0)+":7001"),
	)
	d.tell("leave")
	agree(t, 300*time.Millisecond, []*node{a, b, c}, a.addr, b.addr)
	if err := d.p.Wait(3 * time.Second); err != nil || !d.logged("saved 10.77.0.") {
		t.Errorf("leaving: %v; peers saved in %q", err, d.logs)
	}
	e := startNode(t, l.Host(2), nodeConfig{Key: "k", Remembered: []string{l.Host(1).IP(0) + ":1"}, Port: 7000})
	took := agree(t, 4*time.Second, []*node{a, b, c, e}, a.addr, b.addr, e.addr)
	t.Logf("a process that remembers a peer after %v", took)
	b.tell("suspect " + a.addr) // and c, which announces nothing, is queried each period
	time.Sleep(6 * time.Second)
	agree(t, time.Second, []*node{a, b, c, e}, a.addr, b.addr, e.addr)
	for _, n := range []*node{a, b, c, e} {
		if n.logged("peer is silent") {
			t.Errorf("a living peer was taken for dead: %q", n.logs)
		}
	}
}

// TestLANProcesses: several processes on each host, with interfaces, with loopback only, and with
// an interface that appears later.
func TestLANProcesses(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 2)
	l.Host(1).Disconnect(0) // a host without any network
	var alone, here []*node
	for i := range 3 {
		alone = append(alone, startNode(t, l.Host(1), nodeConfig{Key: "k", Port: 7000 + i}))
		here = append(here, startNode(t, l.Host(0), nodeConfig{Key: "k", Port: 7000 + i}))
	}
	agree(t, 5*time.Second, alone, addrs(alone)...)
	agree(t, 5*time.Second, here, addrs(here)...)
	l.Host(1).Connect("eth0", 0)
	all := append(slices.Clone(alone), here...)
	t.Logf("one LAN after %v", agree(t, 6*time.Second, all, addrs(all)...))
	alone[0].p.Kill()
	alone[1].tell("suspect " + alone[0].addr)
	here[1].tell("suspect " + alone[0].addr)
	t.Logf("killed and suspected: off the lists after %v",
		agree(t, time.Second, []*node{alone[1], here[1]}, addrs(all[1:])...))
}

// TestLANInterfaces: only the chosen interfaces are used, in both directions.
func TestLANInterfaces(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 2, lab.Second(2))
	both := startNode(t, l.Host(0), nodeConfig{Key: "k", Port: 7000})
	first := startNode(t, l.Host(1), nodeConfig{Key: "k", Port: 7000, Interfaces: []string{"eth0"}})
	second := startNode(t, l.Host(1), nodeConfig{Key: "k", Port: 7001, Interfaces: []string{"10.78.0.0/16"}})
	agree(t, 5*time.Second, []*node{both}, both.addr, first.addr, second.addr)
	agree(t, 5*time.Second, []*node{first}, both.addr, first.addr)
	agree(t, 5*time.Second, []*node{second}, both.addr, second.addr)
	for n, want := range map[*node]string{first: "eth0", second: "eth1"} {
		s := n.askStats()
		if len(s.Interfaces) != 1 || s.Interfaces[0].Name != want || s.Interfaces[0].HeardOwn == 0 {
			t.Errorf("%s uses %+v, want %s alone and heard by itself", n.addr, s.Interfaces, want)
		}
	}
	l.Host(1).Run("ip", "addr", "del", first.c.Host+"/24", "dev", "eth0")
	l.Host(1).Run("ip", "addr", "add", "10.77.0.99/24", "brd", "+", "dev", "eth0")
	lab.Eventually(t, 6*time.Second, func() bool {
		s := first.askStats()
		return len(s.Interfaces) == 1 && s.Interfaces[0].Addr.String() == "10.77.0.99"
	}, func() string { return fmt.Sprintf("the new address in use: %+v", first.askStats().Interfaces) })
	first.tell("put 7005")
	agree(t, time.Second, []*node{both}, both.addr, first.addr, second.addr, first.c.Host+":7005")
}

// TestLANTwoNetworks: a host in two networks is known in both and knows both. Hosts of one network
// learn nothing of the other.
func TestLANTwoNetworks(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 3, lab.Second(1))
	l.Host(2).Disconnect(0)
	l.Host(2).Connect("eth1", 1)
	both := startNode(t, l.Host(0), nodeConfig{Key: "k", Port: 7000})
	first := startNode(t, l.Host(1), nodeConfig{Key: "k", Port: 7000})
	second := startNode(t, l.Host(2), nodeConfig{Key: "k", Port: 7000})
	agree(t, 5*time.Second, []*node{both}, both.addr, first.addr, second.addr)
	agree(t, 5*time.Second, []*node{first}, both.addr, first.addr)
	agree(t, 5*time.Second, []*node{second}, both.addr, second.addr)
	both.tell("put 7001")
	agree(t, 2*time.Second, []*node{first}, both.addr, first.addr, l.Host(0).IP(0)+":7001")
	agree(t, 2*time.Second, []*node{second}, both.addr, second.addr, l.Host(0).IP(0)+":7001")
}

// TestLANWithoutKey: without a key, processes of one host find each other and no other process
// does, whatever a stranger sends. With the first key the hosts find each other, and a rotation
// loses none, both without a restart. Open uses the LAN without keys.
func TestLANWithoutKey(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 3)
	file := filepath.Join(t.TempDir(), "key")
	a := startNode(t, l.Host(0), nodeConfig{KeyFile: file, Port: 7000})
	b := startNode(t, l.Host(0), nodeConfig{KeyFile: file, Port: 7001})
	c := startNode(
		t,
		l.Host(1),
		nodeConfig{KeyFile: file, Port: 7000, Interfaces: []string{"eth0"}, Seeds: []string{l.Host(0).IP(0)}},
	)
	open := startNode(
		t,
		l.Host(2),
		nodeConfig{Open: true, Port: 7000, Seeds: []string{l.Host(0).IP(0), l.Host(1).IP(0)}},
	)
	agree(t, 5*time.Second, []*node{a, b}, a.addr, b.addr)
	agree(t, 5*time.Second, []*node{c}, c.addr)
	agree(t, 5*time.Second, []*node{open}, open.addr)
	for _, part := range []string{"skerry key new", "skerry key set"} {
		if !a.logged(part) {
			t.Errorf("the log of a process without a key does not name %q: %q", part, a.logs)
		}
	}
	if !open.logged("not authenticated") {
		t.Errorf("the open LAN does not warn: %q", open.logs)
	}
	if s := a.askStats(); len(s.Interfaces) != 1 || s.Interfaces[0].Name != "lo" {
		t.Errorf("without a key %+v is used", s)
	}
	lab.Eventually(t, 5*time.Second, func() bool { return a.askStats().Elsewhere > 0 },
		func() string { return "a host without a key has seen no packet of another host" })
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	keyed := []*node{a, b, c}
	t.Logf("hosts with a key find each other after %v", agree(t, 8*time.Second, keyed, a.addr, b.addr, c.addr))
	write("first second") // each host reads it at another time
	a.tell("put 7005")
	agree(t, 2*time.Second, keyed, a.addr, b.addr, c.addr, l.Host(0).IP(0)+":7005")
	time.Sleep(2 * scanEvery)
	write("second first")
	c.tell("put 7006")
	agree(t, 2*time.Second, keyed, a.addr, b.addr, c.addr, l.Host(0).IP(0)+":7005", l.Host(1).IP(0)+":7006")
	time.Sleep(2 * scanEvery)
	write("second")
	b.tell("put 7007")
	agree(
		t,
		2*time.Second,
		keyed,
		a.addr,
		b.addr,
		c.addr,
		l.Host(0).IP(0)+":7005",
		l.Host(1).IP(0)+":7006",
		l.Host(0).IP(0)+":7007",
	)
	for _, n := range keyed {
		if n.logged("peer is silent") {
			t.Errorf("a rotation has lost a peer: %q", n.logs)
		}
		for _, k := range n.askStats().OtherKey {
			if k.Addr.String() != l.Host(2).IP(0) {
				t.Errorf("a rotation has made a host with another key: %+v", k)
			}
		}
	}
}

// TestLANStrangers: packets of another cluster or key on the same network are counted, list
// nothing, and cause one warning with their address.
func TestLANStrangers(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 4)
	a := startNode(t, l.Host(0), nodeConfig{Key: "k", Port: 7000})
	b := startNode(t, l.Host(1), nodeConfig{Key: "k", Port: 7000})
	other := startNode(t, l.Host(2), nodeConfig{Cluster: "other", Key: "k", Port: 7000})
	wrong := startNode(t, l.Host(3), nodeConfig{Key: "wrong", Port: 7000})
	agree(t, 5*time.Second, []*node{a, b}, a.addr, b.addr)
	agree(t, 5*time.Second, []*node{other}, other.addr)
	agree(t, 5*time.Second, []*node{wrong}, wrong.addr)
	lab.Eventually(t, 5*time.Second, func() bool {
		s := a.askStats()
		return s.Foreign > 0 && s.WrongKey > 0
	}, func() string { return fmt.Sprintf("strangers counted: %+v", a.askStats()) })
	named := func(n *node) string {
		var addrs []string
		for _, k := range n.askStats().OtherKey {
			addrs = append(addrs, k.Addr.String())
		}
		slices.Sort(addrs)
		return strings.Join(slices.Compact(addrs), " ")
	}
	both := l.Host(0).IP(0) + " " + l.Host(1).IP(0)
	for n, want := range map[*node]string{a: l.Host(3).IP(0), wrong: both, other: ""} {
		lab.Eventually(t, 5*time.Second, func() bool { return named(n) == want },
			func() string { return fmt.Sprintf("hosts with another key: %q, want %q", named(n), want) })
	}
	for _, parts := range [][]string{ // each host is named once, by its first address
		{`cluster \"other\"`},
		{l.Host(2).IP(0), "fe80::73ff:fe6b:3"},
		{"wrong key"},
		{l.Host(3).IP(0), "fe80::73ff:fe6b:4"},
	} {
		if !slices.ContainsFunc(parts, a.logged) {
			t.Errorf("no warning with %q in %q", parts, a.logs)
		}
	}
}
