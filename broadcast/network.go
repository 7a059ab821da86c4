package broadcast

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// errNoInterface: none of the chosen interfaces is up.
var errNoInterface = errors.New("no chosen network interface is up")

// askedMost bounds the sockets that wait for a refusal.
const askedMost = 64

// network is the sockets of one Run. Only the loop uses it, but for its
// readers, which hand what they hear to the registry.
type network struct {
	r     *Registry
	group *run.Group // readers and fetches
	ears  *ears
	any   [2]*net.UDPConn // for where the host's routes lead: IPv4, IPv6
	asked chan struct{}   // a token for each socket that waits
	lost  bool            // the board was told that there is no interface
	fault string          // what the log was last told
}

func newNetwork(r *Registry, ctx context.Context) *network {
	return &network{r: r, group: run.NewGroup(ctx), asked: make(chan struct{}, askedMost)}
}

func (n *network) close() {
	if n.ears != nil {
		n.ears.close()
	}
	for _, c := range n.any {
		if c != nil {
			c.Close()
		}
	}
	n.r.mu.Lock()
	for i, l := range n.r.links {
		l.close()
		delete(n.r.links, i)
	}
	n.r.core.linksChanged(time.Now(), 0, false)
	n.r.mu.Unlock()
	_ = n.group.Stop() // readers end with their sockets
}

// scan brings the sockets in step with the interfaces of the host.
func (n *network) scan(ctx context.Context) {
	fresh, err := n.rebind(ctx)
	links := len(n.r.links) // only this goroutine changes it
	n.r.do(func(now time.Time) { n.r.core.linksChanged(now, links, fresh) })
	if links > 0 {
		if fresh {
			n.r.registrar.Retry()
		}
		if n.lost {
			n.r.board.Confirm()
		}
		n.lost = false
	} else {
		err = cmp.Or(err, errNoInterface)
		n.lost = true
		n.r.board.Lose(fmt.Errorf("%w: %w", registry.ErrUnavailable, err))
	}
	n.complain(err)
}

// complain logs a fault once, and its end.
func (n *network) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == n.fault {
		return
	}
	n.fault = text
	if err != nil {
		n.r.cfg.Logger.Warn("LAN discovery is impaired", "err", err)
	} else {
		n.r.cfg.Logger.Info("LAN discovery works again")
	}
}

// rebind opens and closes links; fresh says that there is a new one.
func (n *network) rebind(ctx context.Context) (fresh bool, err error) {
	nics, err := hostNICs()
	if err != nil {
		return false, err
	}
	if err := n.openShared(ctx); err != nil {
		return false, err
	}
	wanted := map[int]chosen{}
	for _, c := range choose(nics, n.r.cfg.Interfaces) {
		wanted[c.index] = c
	}
	for i, l := range n.r.links {
		if wanted[i] != l.chosen {
			n.drop(l)
		}
	}
	for i, c := range wanted {
		if n.r.links[i] != nil {
			continue
		}
		if e := n.add(c); e != nil {
			err = errors.Join(err, e)
			continue
		}
		fresh = true
	}
	return fresh, err
}

func (n *network) openShared(ctx context.Context) error {
	if n.ears != nil {
		return nil
	}
	e, err := openEars(ctx, n.r.cfg.Port)
	if err != nil {
		return err
	}
	n.ears = e
	n.listen(e.read4)
	if e.p6 != nil {
		n.listen(e.read6)
	}
	for i, family := range [2]string{"udp4", "udp6"} {
		if c, err := net.ListenUDP(family, nil); err == nil {
			n.any[i] = c
			n.listen(reader(c, 0))
		}
	}
	return nil
}

func (n *network) add(c chosen) error {
	ifi, err := net.InterfaceByIndex(c.index)
	if err != nil {
		return fmt.Errorf("interface %s: %w", c.name, err)
	}
	l, err := openLink(c, ifi)
	if err != nil {
		return err
	}
	if err := n.ears.join(ifi); err != nil { // broadcast still works
		n.r.cfg.Logger.Warn("LAN multicast is not heard", "interface", c.name, "err", err)
	}
	n.r.mu.Lock()
	n.r.links[c.index] = l
	s := n.r.perLink[c.index]
	if s == nil {
		s = &InterfaceStats{}
		n.r.perLink[c.index] = s
	}
	s.Name, s.Addr = c.name, c.v4
	if !c.v4.IsValid() {
		s.Addr = c.v6
	}
	n.r.mu.Unlock()
	n.r.cfg.Logger.Info("LAN interface in use", "interface", c.name, "ipv4", c.v4, "ipv6", c.v6)
	for _, conn := range []*net.UDPConn{l.c4, l.c6} {
		if conn != nil {
			n.listen(reader(conn, c.index))
		}
	}
	return nil
}

func (n *network) drop(l *link) {
	n.r.mu.Lock()
	delete(n.r.links, l.index)
	delete(n.r.perLink, l.index)
	n.r.mu.Unlock()
	l.close()
	if ifi, err := net.InterfaceByIndex(l.index); err == nil {
		n.ears.leave(ifi)
	}
	n.r.cfg.Logger.Info("LAN interface no longer in use", "interface", l.name)
}

// reader reads from a socket of this process alone.
func reader(c *net.UDPConn, index int) func([]byte) (int, arrival, error) {
	return func(buf []byte) (int, arrival, error) {
		k, from, err := c.ReadFromUDPAddrPort(buf)
		return k, arrival{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), link: index}, err
	}
}

// listen hands what a socket hears to the registry until it is closed.
func (n *network) listen(read func([]byte) (int, arrival, error)) {
	n.group.Go(func(ctx context.Context) error {
		buf := make([]byte, 2*MaxPacket) // so that a longer datagram is seen to be longer
		for {
			k, a, err := read(buf)
			switch {
			case err == nil:
				n.r.arrived(buf[:k], a)
			case errors.Is(err, net.ErrClosed):
				return nil
			default: // an ICMP error, on systems that report it here
				if run.Sleep(ctx, 10*time.Millisecond) != nil {
					return nil
				}
			}
		}
	})
}

// send carries out one outbound of the core.
func (n *network) send(o outbound) {
	if o.group {
		for _, l := range n.r.links {
			sent, err := l.toAll(o.data, n.r.cfg.Port)
			n.count(l.index, sent, err)
		}
	}
	for _, to := range o.to {
		if o.asked != nil && n.sendAsked(o, to) {
			continue
		}
		c := n.socket(to)
		if c == nil {
			continue
		}
		_, err := c.WriteToUDPAddrPort(o.data, to.addr)
		n.count(to.link, 1, err)
	}
}

// socket is where a way begins: the interface that it was heard on, or the
// host's routes.
func (n *network) socket(to path) *net.UDPConn {
	if l := n.r.links[to.link]; l != nil {
		if c := l.conn(to.addr.Addr()); c != nil {
			return c
		}
	}
	if to.addr.Addr().Is4() {
		return n.any[0]
	}
	return n.any[1]
}

func (n *network) count(link, sent int, err error) {
	n.r.mu.Lock()
	defer n.r.mu.Unlock()
	s := n.r.perLink[link]
	if s == nil {
		s = &InterfaceStats{}
	}
	if err != nil {
		n.r.core.stats.SendFailed++
		s.SendFailed++
		s.LastError = err.Error()
		return
	}
	n.r.core.stats.Sent += uint64(sent)
	s.Sent += uint64(sent)
}

// sendAsked sends a probe from a connected socket of its own: only such a
// socket is told when the other host refuses the port, which is how a killed
// process is known from a lost packet.
func (n *network) sendAsked(o outbound, to path) bool {
	select {
	case n.asked <- struct{}{}:
	default:
		return false
	}
	c, err := n.connect(to)
	if err == nil {
		_, err = c.Write(o.data)
	}
	n.count(to.link, 1, err)
	if c == nil {
		<-n.asked
		return false
	}
	owner := *o.asked
	started := n.group.Go(func(ctx context.Context) error {
		defer func() { c.Close(); <-n.asked }()
		buf := make([]byte, 2*MaxPacket)
		_ = c.SetReadDeadline(time.Now().Add(askLate.every))
		k, err := c.Read(buf)
		switch {
		case err == nil:
			n.r.arrived(buf[:k], arrival{from: to.addr, link: to.link})
		case errors.Is(err, errRefused):
			n.r.do(func(now time.Time) { n.r.core.refused(now, owner, to) })
		}
		return nil
	})
	if !started {
		c.Close()
		<-n.asked
	}
	return true
}

func (n *network) connect(to path) (*net.UDPConn, error) {
	var local *net.UDPAddr
	if c := n.socket(to); c != nil {
		own := c.LocalAddr().(*net.UDPAddr)
		local = &net.UDPAddr{IP: own.IP, Zone: own.Zone}
	}
	return net.DialUDP("udp", local, net.UDPAddrFromAddrPort(to.addr))
}

// linkOf finds the interface of a datagram that came to the shared port on a
// system that does not tell, and whether the interface was chosen.
func (r *Registry) linkOf(a arrival) (index int, ok bool) {
	if a.link != 0 {
		_, ok = r.links[a.link]
		return a.link, ok
	}
	for i, l := range r.links {
		if l.holds(a.from.Addr()) {
			return i, true
		}
	}
	return 0, !a.group
}

// names of reasons in warnings, with what to do.
var advice = map[error]string{
	errForeign: "another system shares this network and UDP port; that is harmless, give it a port of its own to silence this",
	errMAC:     "set lan.key to the same secret on every host of the cluster; or somebody forges packets",
	errVersion: "the sender runs a release of skerry that speaks another packet version",
}

// arrived checks a datagram, the cheapest things first, and gives it to the
// core.
func (r *Registry) arrived(data []byte, a arrival) {
	r.mu.Lock()
	r.core.stats.Received++
	link, ok := r.linkOf(a)
	switch {
	case !ok:
		r.core.stats.Elsewhere++
	case len(data) < len(magic) || string(data[:len(magic)]) != magic:
		r.core.stats.Malformed++
		ok = false
	case !r.checks.take(time.Now()):
		r.core.stats.Rate++
		ok = false
	}
	c := r.core.codec
	r.mu.Unlock()
	if !ok {
		return
	}
	p, err := c.open(data)
	if err != nil {
		r.refuse(err, a.from)
		return
	}
	r.do(func(now time.Time) {
		r.hear(p, link, a.group)
		r.core.receive(now, p, path{addr: a.from, link: link}, a.group)
	})
}

// hear counts for the interface. r.mu is held.
func (r *Registry) hear(p packet, link int, group bool) {
	s := r.perLink[link]
	switch {
	case s == nil:
	case p.sender == r.cfg.Owner:
		s.HeardOwn++
	case group:
		s.HeardGroup++
	default:
		s.HeardDirect++
	}
}

// refuse counts a datagram that is not ours, and warns once of what somebody
// should look into.
func (r *Registry) refuse(err error, from netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.core.stats
	reason := errMalformed
	switch {
	case errors.Is(err, errForeign):
		reason = errForeign
		s.Foreign++
	case errors.Is(err, errMAC):
		reason = errMAC
		s.WrongKey++
	case errors.Is(err, errVersion):
		reason = errVersion
		s.Version++
	default:
		s.Malformed++
	}
	if reason != errMalformed && r.warner.due(time.Now(), reason, from.Addr()) {
		r.cfg.Logger.Warn("LAN packet ignored", "why", err, "from", from.String(), "cluster", r.cfg.Cluster, "do", advice[reason])
	}
}

// keepSeeds resolves the seeds, again and again while some have no address.
func (r *Registry) keepSeeds(ctx context.Context) error {
	var pause run.Backoff
	for len(r.cfg.Seeds) > 0 {
		addrs, err := resolveSeeds(ctx, r.cfg.Seeds, r.cfg.Port)
		r.do(func(now time.Time) {
			if !slices.Equal(addrs, r.core.seeds) {
				r.core.seeds = addrs
				r.core.exchange(now, addrs...)
			}
		})
		wait := r.cfg.Announce
		if err != nil {
			r.cfg.Logger.Warn("LAN seed has no address", "err", err)
			wait = pause.Next()
		}
		if run.Sleep(ctx, wait) != nil {
			break
		}
	}
	return nil
}
