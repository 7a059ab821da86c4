package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
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
			text += "\nnot " + strings.TrimSpace(fmt.Sprintf("%s on %s: %s", addrText(other.Addr), other.Interface, other.Reason))
		}
	}
	if choice.Addr.IsLoopback() {
		f.hint("connect the host to a network, or name its address with service.advertise", "%s\nOther hosts can't connect to it.", text)
	} else {
		f.fine("%s", text)
	}
	return f.list
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return "-"
	}
	return a.String()
}

// heard is what a listener on the LAN learned in a few seconds.
type heard struct {
	stats    broadcast.Stats
	peers    []broadcast.Peer
	services map[string]int // instances by service
	err      error
}

// listen takes part in the LAN for a while, offering nothing, and asks for
// everything.
func listen(ctx context.Context, c skerry.Config, wait time.Duration) heard {
	r, err := broadcast.New(broadcast.Config{
		Cluster: c.Cluster, Owner: registry.NewOwner(), Key: []byte(c.LAN.Key), Port: c.LAN.Port,
		Interfaces: c.LAN.Interfaces, Seeds: c.LAN.Seeds,
	})
	if err != nil {
		return heard{err: err}
	}
	h := heard{services: map[string]int{}}
	g := run.NewGroup(ctx)
	g.Go(r.Run)
	stop := r.Watch(registry.AllServices, func(s registry.Snapshot) { h.services[s.Service] = len(s.Instances) })
	run.Sleep(ctx, wait)
	stop()
	h.stats, h.peers = r.Stats(), r.Peers()
	h.err = g.Stop()
	return h
}

// examineLAN says whether packets go out and come in, and whose.
func examineLAN(c skerry.Config, h heard, wait time.Duration) []finding {
	f := &findings{area: "LAN"}
	firewall := fmt.Sprintf("let UDP port %d in and out through the firewall of every host; across VLANs or Wi-Fi name hosts with lan.seeds", c.LAN.Port)
	if h.err != nil {
		f.problem("see whether another program holds the port; lan.port must be the same on every host", "the LAN can't be used: %v", h.err)
		return f.list
	}
	if len(h.stats.Interfaces) == 0 {
		f.problem("name interfaces with lan.interfaces, or connect the host", "no interface leads to a LAN")
		return f.list
	}
	for _, i := range h.stats.Interfaces {
		examineInterface(f, i, firewall)
	}
	examinePeers(f, c, h, wait, firewall)
	examineIgnored(f, h.stats)
	if c.LAN.Key == "" {
		f.hint("set lan.key to the same secret on every host, such as ${file:/etc/skerry/key}",
			"no site key: whoever is on the LAN can announce providers")
	}
	return f.list
}

func examineInterface(f *findings, i broadcast.InterfaceStats, firewall string) {
	switch {
	case i.LastError != "" && i.SendFailed >= i.Sent:
		f.problem("see the interface's address and routes", "%s (%s): sending fails: %s", i.Name, i.Addr, i.LastError)
	case i.HeardOwn == 0 && i.HeardGroup == 0:
		f.problem(firewall, "%s (%s): not even our own broadcasts come back; this host filters them", i.Name, i.Addr)
	default:
		f.fine("%s (%s): sent %d packets, heard %d of our own, %d broadcast and %d unicast of others",
			i.Name, i.Addr, i.Sent, i.HeardOwn, i.HeardGroup, i.HeardDirect)
	}
}

func examinePeers(f *findings, c skerry.Config, h heard, wait time.Duration, firewall string) {
	hosts := map[string]bool{}
	for _, p := range h.peers {
		hosts[p.Owner.Host] = true
	}
	if len(h.peers) == 0 && len(c.LAN.Seeds) > 0 {
		f.problem("see whether the seeds run skerry of this cluster; "+firewall, "I hear only myself: none of the seeds %s answered within %v", strings.Join(c.LAN.Seeds, ", "), wait)
		return
	}
	if len(h.peers) == 0 {
		f.hint("when others should be there: "+firewall, "I hear only myself: nobody else of cluster %q answered within %v", c.Cluster, wait)
		return
	}
	var names []string
	for service, n := range h.services {
		if n > 0 {
			names = append(names, fmt.Sprintf("%s (%d)", service, n))
		}
	}
	f.fine("%d processes on %d hosts of cluster %q answered; they offer %s", len(h.peers), len(hosts), c.Cluster, sortedOr(names, "nothing"))
	unicast := 0
	for _, p := range h.peers {
		if !p.Broadcast {
			unicast++
		}
	}
	if unicast == len(h.peers) {
		f.hint(firewall, "all of them answered by unicast only: broadcast is filtered between us")
	}
}

// examineIgnored says what was heard and not believed.
func examineIgnored(f *findings, s broadcast.Stats) {
	if s.Foreign > 0 {
		f.hint("nothing, when two systems share the LAN; else give all hosts the same cluster", "%d packets came from other clusters", s.Foreign)
	}
	if s.WrongKey > 0 {
		f.problem("give every host the same lan.key; when all have it, somebody is trying to get in", "%d packets of our cluster bear a wrong key", s.WrongKey)
	}
	if s.Version > 0 {
		f.problem("bring all hosts to one release of skerry", "%d packets are of a version that this release does not know", s.Version)
	}
	if s.Malformed > 0 {
		f.hint("see what else uses this port", "%d packets were not skerry's", s.Malformed)
	}
	if s.Elsewhere > 0 {
		f.hint("add that interface to lan.interfaces when it should count", "%d packets came in on interfaces that are not chosen", s.Elsewhere)
	}
	if s.Replay > 0 || s.Unproven > 0 {
		f.hint("see whether unicast UDP passes between the hosts in both directions", "%d packets were replays, %d senders did not answer when asked", s.Replay, s.Unproven)
	}
}
