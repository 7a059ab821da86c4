package main

import (
	"context"
	"fmt"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
)

// examineAddress says which address would be advertised, and why.
func examineAddress(c skerry.Config) []finding {
	f := &findings{area: "Address"}
	prefs := c.LAN.Interfaces
	for _, s := range c.Services {
		if s.Advertise != "" {
			prefs = []string{s.Advertise}
		}
	}
	choice, considered, err := broadcast.Advertise(prefs)
	if err != nil {
		f.problem("name an address, an interface or a CIDR of this host with service.advertise or lan.interfaces", "no address can be advertised: %v", err)
		return f.list
	}
	text := fmt.Sprintf("%s would be advertised: %s", choice.Addr, choice.Reason)
	if choice.Interface != "" {
		text = fmt.Sprintf("%s on %s would be advertised: %s", choice.Addr, choice.Interface, choice.Reason)
	}
	for _, other := range considered {
		if other.Addr != choice.Addr {
			text += fmt.Sprintf("\nnot %s: %s", place(other), other.Reason)
		}
	}
	if choice.Addr.IsLoopback() {
		f.hint("connect the host to a network, or name its address with service.advertise", "%s\nOther hosts can't connect to it.", text)
	} else {
		f.fine("%s", text)
	}
	return f.list
}

func place(c broadcast.Considered) string {
	if !c.Addr.IsValid() {
		return c.Interface
	}
	return c.Addr.String() + " on " + c.Interface
}

// examineLAN says whether packets go out and come in, and whose.
func examineLAN(ctx context.Context, c skerry.Config) []finding {
	f := &findings{area: "LAN"}
	r, err := broadcast.SelfTest(ctx, broadcast.Config{
		Cluster: c.Cluster, Keys: broadcast.KeyOf(c.LAN.Key, c.Cluster), Port: c.LAN.Port, Interfaces: c.LAN.Interfaces, Seeds: c.LAN.Seeds,
	})
	if err != nil {
		f.problem("see whether another program holds the port; lan.port must be the same on every host", "the LAN can't be used: %v", err)
		return f.list
	}
	for _, i := range r.Interfaces {
		f.fine("%s (%s): sent %d packets, heard %d of our own, %d broadcast and %d unicast of others",
			i.Name, i.Addr, i.Sent, i.HeardOwn, i.HeardGroup, i.HeardDirect)
	}
	if len(r.Peers) > 0 {
		describePeers(f, r.Peers)
	}
	for _, x := range r.Findings {
		if x.Wrong {
			f.problem(x.Do, "%s", x.What)
		} else {
			f.hint(x.Do, "%s", x.What)
		}
	}
	if c.LAN.Key == "" {
		f.hint("make a key with skerry key new here, and give it to the other hosts with skerry key set there",
			"no key of the site: only processes of this host find each other")
	}
	return f.list
}

// describePeers says who answered, and whether broadcast reaches them.
func describePeers(f *findings, peers []broadcast.Peer) {
	hosts, registrations, unicast := map[string]bool{}, 0, 0
	for _, p := range peers {
		hosts[p.Owner.Host] = true
		registrations += p.Registrations
		if !p.Broadcast {
			unicast++
		}
	}
	f.fine("%s on %s answered, with %s", count(len(peers), "process", "es"), count(len(hosts), "host", "s"), count(registrations, "registration", "s"))
	if unicast == len(peers) {
		f.hint("nothing, when the hosts are in several VLANs; else let broadcast through the switches and firewalls",
			"all of them answered by unicast only: broadcast does not pass between us")
	}
}
