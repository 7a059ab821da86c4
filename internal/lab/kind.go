//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Kinds are the numbers of packets that one host has sent on LAN 0 since CountKinds. Neighbour is
// IPv6's ICMP: neighbour discovery and reports of groups.
type Kinds struct{ UDP, TCP, ARP, Neighbour uint64 }

// CountKinds begins to count the sent packets of each host by kind.
func (l *LAN) CountKinds() {
	l.t.Helper()
	var b strings.Builder
	b.WriteString("add table netdev kinds\ndelete table netdev kinds\ntable netdev kinds {\n")
	for _, h := range l.hosts {
		port := h.port(0)
		for _, kind := range []string{"udp", "tcp", "arp", "nd"} {
			fmt.Fprintf(&b, "counter %s-%s { }\n", kind, port)
		}
		fmt.Fprintf(&b, "chain %s { type filter hook ingress device \"%s\" priority 0; policy accept; ", port, port)
		fmt.Fprintf(&b, "meta l4proto udp counter name \"udp-%s\"; meta l4proto tcp counter name \"tcp-%s\"; ", port,
			port)
		fmt.Fprintf(
			&b,
			"ether type arp counter name \"arp-%s\"; meta l4proto ipv6-icmp counter name \"nd-%s\"; }\n",
			port,
			port,
		)
	}
	b.WriteString("}\n")
	l.command(b.String(), "ip", "netns", "exec", l.hub(), "nft", "-f", "-")
}

// Kinds are the counts of all hosts, by index.
func (l *LAN) Kinds() []Kinds {
	l.t.Helper()
	var answer struct {
		Items []struct {
			Counter struct {
				Name    string
				Packets uint64
			}
		} `json:"nftables"`
	}
	text := l.command("", "ip", "netns", "exec", l.hub(), "nft", "-j", "list", "counters", "table", "netdev", "kinds")
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		l.t.Fatalf("lab: counters: %v", err)
	}
	packets := map[string]uint64{}
	for _, i := range answer.Items {
		packets[i.Counter.Name] = i.Counter.Packets
	}
	out := make([]Kinds, len(l.hosts))
	for i, h := range l.hosts {
		out[i] = Kinds{
			packets["udp-"+h.port(0)],
			packets["tcp-"+h.port(0)],
			packets["arp-"+h.port(0)],
			packets["nd-"+h.port(0)],
		}
	}
	return out
}
