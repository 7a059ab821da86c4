package broadcast

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The groups that packets go to beside the limited broadcast, because switches may drop either.
var (
	group4 = netip.MustParseAddr("239.255.77.83") // site-local scope, RFC 2365
	group6 = netip.MustParseAddr("ff12::534b:5259")
	all4   = netip.MustParseAddr("255.255.255.255")
)

// The number of UDP ports after the shared one for packets to one process: answers and probes. A
// firewall must allow them as well.
const (
	defaultPorts = 100
	leastPorts   = 4 // one process has up to two, and its successor other ones
	mostPorts    = 1000
)

// portRange is the shared port and the number of those behind it.
type portRange struct{ shared, behind int }

// String is the range as a firewall's rule has it.
func (r portRange) String() string { return fmt.Sprintf("%d-%d", r.shared, r.shared+r.behind) }

// has reports whether a firewall that allows the range lets a port through. A default range among the
// ephemeral ports (tests) is not used.
func (r portRange) has(port int) bool {
	return !r.used() || port >= r.shared && port <= r.shared+r.behind
}

func (r portRange) used() bool { return r.behind != defaultPorts || r.shared+r.behind < 32768 }

// readBuffer holds a burst of answers while the process is busy.
const readBuffer = 1 << 20

// unknownLink: the system does not report the interface of a datagram to the shared port.
const unknownLink = -1

// ingress is the arrival of a datagram.
type ingress struct {
	from  netip.AddrPort
	link  int  // index of the interface; 0: a socket of the host's routes
	group bool // by broadcast or multicast
}

// link is the pair of sockets for one interface. Bound to its addresses they need no route, because
// an isolated network has no default route. Only this process has them, so they receive its unicast
// packets.
type link struct {
	chosen
	c4, c6 *net.UDPConn // nil: the interface has no such address
}

// openLink opens both sockets; one family may be missing.
func openLink(c chosen, ifi *net.Interface, ports portRange) (*link, error) {
	l := &link{chosen: c}
	var err4, err6 error
	if c.v4.IsValid() {
		if l.c4, err4 = unicastSocket("udp4", c.v4, ports); err4 == nil {
			p := ipv4.NewPacketConn(l.c4)
			err4 = errors.Join(p.SetMulticastInterface(ifi), p.SetMulticastLoopback(true))
			l.c4.SetReadBuffer(readBuffer)
		}
	}
	if c.v6.IsValid() {
		if l.c6, err6 = unicastSocket("udp6", c.v6, ports); err6 == nil {
			p := ipv6.NewPacketConn(l.c6)
			err6 = errors.Join(p.SetMulticastInterface(ifi), p.SetMulticastLoopback(true))
			l.c6.SetReadBuffer(readBuffer)
		}
	}
	if err4 != nil || l.c4 == nil && err6 != nil { // IPv6 may come up later; IPv4 is required
		l.close()
		return nil, fmt.Errorf("speak on %s: %w", c.name, errors.Join(err4, err6))
	}
	return l, nil
}

// unicastSocket opens a socket of this process alone on one of the ports after the shared one, which
// a firewall can allow, or on any port when none of them is free. It begins at a random port, because
// a process with the port of a killed one would be mistaken for it.
func unicastSocket(network string, addr netip.Addr, ports portRange) (*net.UDPConn, error) {
	if ports.used() {
		for i, first := 0, rand.IntN(ports.behind); i < ports.behind; i++ {
			p := ports.shared + 1 + (first+i)%ports.behind
			if c, err := net.ListenUDP(network,
				net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(p)))); err == nil {
				return c, nil
			}
		}
	}
	return net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
}

func (l *link) close() {
	for _, c := range []*net.UDPConn{l.c4, l.c6} {
		if c != nil {
			c.Close()
		}
	}
}

// toAll broadcasts on the interface and returns how many datagrams left it.
func (l *link) toAll(data []byte, port int) (sent int, err error) {
	send := func(c *net.UDPConn, to netip.Addr) {
		if c == nil {
			return
		}
		if _, e := c.WriteToUDPAddrPort(data, netip.AddrPortFrom(to, uint16(port))); e != nil {
			err = e
			return
		}
		sent++
	}
	send(l.c4, all4)
	send(l.c4, group4)
	send(l.c6, group6.WithZone(l.v6.Zone()))
	return sent, err
}

// conn returns the socket for the family of an address.
func (l *link) conn(to netip.Addr) *net.UDPConn {
	if to.Is4() {
		return l.c4
	}
	return l.c6
}

// sharedSockets are the two sockets on the port that all processes of a host share.
type sharedSockets struct {
	p4 *ipv4.PacketConn
	p6 *ipv6.PacketConn // nil: the host has no IPv6
}

func openShared(ctx context.Context, port int) (*sharedSockets, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = shareOption(fd) }), err)
	}}
	c4, err := lc.ListenPacket(ctx, "udp4", "0.0.0.0:"+strconv.Itoa(port))
	if err != nil {
		return nil, fmt.Errorf("listen on UDP port %d (shared by all processes of skerry): %w", port, err)
	}
	c4.(*net.UDPConn).SetReadBuffer(readBuffer)
	e := &sharedSockets{p4: ipv4.NewPacketConn(c4)}
	// Windows can't report the interface of a datagram. It is then found by the source's network.
	_ = e.p4.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true)
	if c6, err := lc.ListenPacket(ctx, "udp6", "[::]:"+strconv.Itoa(port)); err == nil {
		c6.(*net.UDPConn).SetReadBuffer(readBuffer)
		e.p6 = ipv6.NewPacketConn(c6)
		_ = e.p6.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true)
	}
	return e, nil
}

// join makes the shared sockets receive the groups on an interface. Joining twice is not an error.
func (e *sharedSockets) join(ifi *net.Interface) error {
	err := e.p4.JoinGroup(ifi, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group4, 0)))
	if e.p6 != nil {
		_ = e.p6.JoinGroup(ifi, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group6, 0))) // an interface without IPv6
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil
	}
	return err
}

// leave ends membership on an interface that is no longer chosen.
func (e *sharedSockets) leave(ifi *net.Interface) {
	_ = e.p4.LeaveGroup(ifi, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group4, 0))) // gone with the interface
	if e.p6 != nil {
		_ = e.p6.LeaveGroup(ifi, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group6, 0)))
	}
}

func (e *sharedSockets) close() {
	e.p4.Close()
	if e.p6 != nil {
		e.p6.Close()
	}
}

func (e *sharedSockets) read4(buf []byte) (int, ingress, error) {
	n, cm, src, err := e.p4.ReadFrom(buf)
	if err != nil {
		return 0, ingress{}, err
	}
	a := ingress{from: addrPort(src), link: unknownLink, group: true}
	if cm != nil {
		a.link = cm.IfIndex
		a.group = cm.Dst == nil || cm.Dst.IsMulticast() || cm.Dst.Equal(net.IPv4bcast)
	}
	return n, a, nil
}

func (e *sharedSockets) read6(buf []byte) (int, ingress, error) {
	n, cm, src, err := e.p6.ReadFrom(buf)
	if err != nil {
		return 0, ingress{}, err
	}
	a := ingress{from: addrPort(src), link: unknownLink, group: true}
	if cm != nil {
		a.link = cm.IfIndex
		a.group = cm.Dst == nil || cm.Dst.IsMulticast()
	}
	return n, a, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := udp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
