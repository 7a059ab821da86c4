package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// pathsMost bounds the hosts to which doctor measures the size of packets.
// lanPacket is the most that the LAN's packets have, in bytes, with the headers of IP
// and UDP.
const (
	pathsMost = 64
	lanPacket = broadcast.MaxPacket + 28
)

// examinePaths measures whether full packets pass to and from the hosts of the listed
// instances.
func examinePaths(ctx context.Context, c skerry.Config, entries []discovery.Entry) []finding {
	f := &findings{area: "Packets"}
	conf, _ := c.TLS.Client() // examineConfig reports a failure
	client, err := rpc.NewClient(rpc.ClientConfig{
		Resolver: rpc.Static(), Caller: callerName, ConnectTimeout: connectTime, TLS: conf,
	})
	if err != nil {
		return nil
	}
	defer client.Close()
	hosts := onePerHost(entries)
	var mu sync.Mutex
	passes := 0
	g := run.NewGroup(ctx)
	for _, e := range hosts[:min(len(hosts), pathsMost)] {
		g.Go(func(ctx context.Context) error {
			path, err := client.Path(ctx, &rpc.Endpoint{ID: e.Addr, Service: e.Service,
				Addr: reach.Address(e.Addr, e.Tags, reach.OwnNetworks()), TLS: e.TLS})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil: // examineSite has reported the failed connection
			case path.All:
				passes++
			default:
				f.narrow(hostOf(e), interfaceTo(e.Addr), path)
			}
			return nil
		})
	}
	_ = g.Wait()
	if passes > 0 {
		f.fine("full packets pass to %s and back", count(passes, "host", "s"))
	}
	return f.list
}

// narrow reports that the path to a host loses large packets.
func (f *findings) narrow(host, iface string, p rpc.Path) {
	const hang = "vanish, and neither host is told: large calls and replies hang there"
	what := quote.Sprintf("packets over %d bytes to or from %s %s", p.Passes, host, hang)
	do := quote.Sprintf("set the MTU of interface %s to %d here, or on %s; "+
		"or mend the switch or tunnel between, which must pass %d bytes", iface, p.Passes, host, p.Full)
	switch {
	case p.Passes == 0:
		what = quote.Sprintf("small packets pass to %s and back, and full ones %s", host, hang)
		do = quote.Sprintf("set the MTU of interface %s lower here, or on %s; or mend the switch or tunnel between",
			iface, host)
	case p.Passes < lanPacket:
		what += quote.Sprintf("; the LAN's packets have up to %d bytes: lists of %s do not come by them",
			lanPacket, host)
	}
	f.problem(do, "%s", what)
}

// onePerHost returns one instance with skerry's protocol for each host.
func onePerHost(entries []discovery.Entry) (one []discovery.Entry) {
	seen := map[string]bool{}
	for _, e := range entries {
		if p := registry.Protocol(e.Protocol); p != "" && p != registry.ProtocolSkerry || seen[hostOf(e)] {
			continue
		}
		seen[hostOf(e)] = true
		one = append(one, e)
	}
	return one
}

// hostOf returns the name and address of an entry's host.
func hostOf(e discovery.Entry) string {
	addr, _, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return e.Addr
	}
	name, _, _ := strings.Cut(e.Owner, "/")
	return fmt.Sprintf("%s (%s)", name, addr)
}

// interfaceTo returns the interface by which packets to an address leave, "?" when the
// system does not tell.
func interfaceTo(addr string) string {
	conn, err := net.Dial("udp", addr) // sends nothing
	if err != nil {
		return "?"
	}
	defer conn.Close()
	local, _ := conn.LocalAddr().(*net.UDPAddr)
	all, _ := net.Interfaces()
	for _, i := range all {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && local != nil && n.IP.Equal(local.IP) {
				return fmt.Sprintf("%s (now %d)", i.Name, i.MTU)
			}
		}
	}
	return "?"
}
