//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// faults are the effects of a host's ingress hook on arriving packets.
type faults struct {
	loss    float64 // per cent
	noGroup bool    // UDP broadcast and multicast are dropped
	noUDP   bool    // all UDP is dropped
	deaf    []int   // hosts with dropped packets
}

// Loss makes every host drop a percentage of the packets that arrive on its
// interfaces; 0 ends it.
func (l *LAN) Loss(percent float64) {
	l.t.Helper()
	for _, h := range l.hosts {
		h.Loss(percent)
	}
}

// Loss makes the host drop a percentage of the arriving packets; 0 ends it.
func (h *Host) Loss(percent float64) {
	h.lan.t.Helper()
	h.faults.loss = percent
	h.filter()
}

// BlockBroadcast drops UDP broadcast and multicast that arrives at the host,
// as a VLAN or Wi-Fi access point may; ARP and neighbour discovery pass.
func (h *Host) BlockBroadcast(block bool) {
	h.lan.t.Helper()
	h.faults.noGroup = block
	h.filter()
}

// BlockBroadcast drops UDP broadcast and multicast that arrives at every host.
func (l *LAN) BlockBroadcast(block bool) {
	l.t.Helper()
	for _, h := range l.hosts {
		h.BlockBroadcast(block)
	}
}

// BlockUDP drops all UDP that arrives at the host; TCP passes.
func (h *Host) BlockUDP(block bool) {
	h.lan.t.Helper()
	h.faults.noUDP = block
	h.filter()
}

// Deaf makes the host drop all packets from the hosts with these indices; without any it receives
// all again.
func (h *Host) Deaf(to ...int) {
	h.lan.t.Helper()
	h.faults.deaf = to
	h.filter()
}

// Cut pulls the cable of the host's interface on LAN 0; Heal plugs it in again.
func (h *Host) Cut() { h.lan.t.Helper(); h.cable("down") }

// Heal ends Cut.
func (h *Host) Heal() { h.lan.t.Helper(); h.cable("up") }

func (h *Host) cable(state string) {
	h.lan.t.Helper()
	h.lan.ip("-n", h.lan.hub(), "link", "set", h.port(0), state)
}

// Partition splits the LANs in two sides: the named hosts, and the others. Hosts receive packets of
// their own side only. Without hosts the partition ends.
func (l *LAN) Partition(side ...int) {
	l.t.Helper()
	for _, h := range l.hosts {
		h.faults.deaf = nil
		for _, o := range l.hosts {
			if len(side) > 0 && slices.Contains(side, h.Index) != slices.Contains(side, o.Index) {
				h.faults.deaf = append(h.faults.deaf, o.Index)
			}
		}
		h.filter()
	}
}

// filter installs the host's faults.
func (h *Host) filter() {
	h.lan.t.Helper()
	var rules []string
	for _, o := range h.faults.deaf {
		for lan := range 2 {
			rules = append(rules, "ether saddr "+h.lan.hosts[o].mac(lan)+" drop")
		}
	}
	if h.faults.noGroup {
		rules = append(rules, "meta l4proto udp meta pkttype { broadcast, multicast } drop")
	}
	if h.faults.noUDP {
		rules = append(rules, "meta l4proto udp drop")
	}
	switch {
	case h.faults.loss >= 100:
		rules = append(rules, "drop")
	case h.faults.loss > 0:
		rules = append(rules, fmt.Sprintf("numgen random mod 10000 < %d drop", int(h.faults.loss*100)))
	}
	var b strings.Builder
	b.WriteString("add table netdev lab\ndelete table netdev lab\n")
	if len(rules) > 0 {
		b.WriteString("table netdev lab {\n")
		for _, dev := range h.interfaces() {
			fmt.Fprintf(&b, "chain %s { type filter hook ingress device \"%s\" priority 0; policy accept; %s; }\n",
				dev, dev, strings.Join(rules, "; "))
		}
		b.WriteString("}\n")
	}
	h.lan.command(b.String(), "ip", "netns", "exec", h.Namespace, "nft", "-f", "-")
}

// interfaces are the names of the host's interfaces except loopback.
func (h *Host) interfaces() []string {
	h.lan.t.Helper()
	var links []struct {
		Name string `json:"ifname"`
	}
	h.lan.parse(&links, "-n", h.Namespace, "-j", "link", "show")
	var out []string
	for _, l := range links {
		if l.Name != "lo" {
			out = append(out, l.Name)
		}
	}
	return out
}

// Count is the traffic of one host on LAN 0, counted at its bridge port.
type Count struct {
	SentPackets, SentBytes         uint64
	ReceivedPackets, ReceivedBytes uint64
}

// Counts are the counters of all hosts, by index.
func (l *LAN) Counts() []Count {
	l.t.Helper()
	type counter struct{ Packets, Bytes uint64 }
	var links []struct {
		Name  string                   `json:"ifname"`
		Stats struct{ RX, TX counter } `json:"stats64"`
	}
	l.parse(&links, "-n", l.hub(), "-s", "-j", "link", "show")
	out := make([]Count, len(l.hosts))
	for _, link := range links {
		for i, h := range l.hosts {
			if link.Name == h.port(0) { // the host has sent all that the port receives
				rx, tx := link.Stats.RX, link.Stats.TX
				out[i] = Count{rx.Packets, rx.Bytes, tx.Packets, tx.Bytes}
			}
		}
	}
	return out
}

// parse reads the JSON that ip prints.
func (l *LAN) parse(into any, args ...string) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.ip(args...)), into); err != nil {
		l.t.Fatalf("lab: ip %s: %v", strings.Join(args, " "), err)
	}
}
