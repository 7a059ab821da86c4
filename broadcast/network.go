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

// network holds the sockets of one Run. Only the loop uses it, except for its readers, which pass
// packets to the registry.
type network struct {
	r            *Registry
	group        *run.Group // readers and fetches
	shared       *sharedSockets
	any          [2]*net.UDPConn // for destinations by the host's routes: IPv4, IPv6
	probeSockets chan struct{}   // a token for each socket that waits
	reportedLost bool            // the publisher knows that there is no interface
	loggedFault  string          // the fault in the latest log line
	ring         [][]byte        // keys in use, nil before the first
	loggedKeys   ringState       // the state of the keys in the latest log line
	loopbackOnly bool            // the sockets of the host's routes are bound to loopback
	begun        time.Time
}

func newNetwork(ctx context.Context, r *Registry) *network {
	return &network{
		r:            r,
		group:        run.NewGroup(ctx),
		probeSockets: make(chan struct{}, maxProbeSockets),
		begun:        time.Now(),
	}
}

func (n *network) close() {
	if n.shared != nil {
		n.shared.close()
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
	_ = n.group.Stop() // readers end when their sockets are closed
}

// scan opens and closes sockets to match the interfaces of the host.
func (n *network) scan(ctx context.Context) {
	fresh, err := n.rebind(ctx)
	links := len(n.r.links) // only this goroutine changes it
	n.r.do(func(now time.Time) { n.r.core.linksChanged(now, links, fresh) })
	if links > 0 {
		if fresh {
			n.r.registrar.Retry()
		}
		if n.reportedLost {
			n.r.publisher.Confirm()
		}
		n.reportedLost = false
	} else {
		err = cmp.Or(err, errNoInterface)
		n.reportedLost = true
		n.r.publisher.Lose(fmt.Errorf("%w: %w", registry.ErrUnavailable, err))
	}
	n.logFault(err)
}

// logFault logs a fault once, and its end.
func (n *network) logFault(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == n.loggedFault {
		return
	}
	n.loggedFault = text
	if err != nil {
		n.r.cfg.Logger.Warn("LAN discovery is impaired", "err", err)
	} else {
		n.r.cfg.Logger.Info("LAN discovery works again")
	}
}

// rebind opens and closes links. fresh says that one is new.
func (n *network) rebind(ctx context.Context) (fresh bool, err error) {
	nics, err := hostNICs()
	if err != nil {
		return false, err
	}
	if err := n.ensureShared(ctx); err != nil {
		return false, err
	}
	wants := n.r.cfg.Interfaces
	if n.r.loopbackOnly { // only this goroutine changes it
		nics, wants = slices.DeleteFunc(nics, func(i nic) bool { return !i.loopback() }), nil
	}
	wanted := map[int]chosen{}
	for _, c := range choose(nics, wants) {
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

func (n *network) ensureShared(ctx context.Context) error {
	if n.shared != nil {
		if n.loopbackOnly != n.r.loopbackOnly {
			n.openAny()
		}
		return nil
	}
	e, err := openShared(ctx, n.r.cfg.Port)
	if err != nil {
		return err
	}
	n.shared = e
	n.listen(e.read4)
	if e.p6 != nil {
		n.listen(e.read6)
	}
	n.openAny()
	return nil
}

// openAny opens the sockets for the host's routes, or, while there is no key, for loopback.
func (n *network) openAny() {
	addrs := [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	if n.loopbackOnly = n.r.loopbackOnly; n.loopbackOnly {
		addrs = [2]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	for i, family := range [2]string{"udp4", "udp6"} {
		if n.any[i] != nil {
			n.any[i].Close()
			n.any[i] = nil
		}
		if c, err := unicastSocket(family, addrs[i], n.r.cfg.ports()); err == nil {
			n.any[i] = c
			n.checkPort(c)
			n.listen(reader(c, 0))
		}
	}
}

func (n *network) add(c chosen) error {
	ifi, err := net.InterfaceByIndex(c.index)
	if err != nil {
		return fmt.Errorf("interface %s: %w", c.name, err)
	}
	l, err := openLink(c, ifi, n.r.cfg.ports())
	if err != nil {
		return err
	}
	for _, conn := range []*net.UDPConn{l.c4, l.c6} {
		n.checkPort(conn)
	}
	if err := n.shared.join(ifi); err != nil { // broadcast still works
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

// checkPort warns of a socket outside of the range that firewalls let through.
func (n *network) checkPort(c *net.UDPConn) {
	if c == nil {
		return
	}
	if at := c.LocalAddr().(*net.UDPAddr); !n.r.cfg.ports().has(at.Port) {
		n.r.cfg.Logger.Warn("all UDP ports behind the LAN's are taken on this host, so this process uses another one: "+
			"a firewall may drop what is sent to it; allow more ports by lan.ports, on every host", "addr", at.String(),
			"ports", n.r.cfg.ports().String())
	}
}

func (n *network) drop(l *link) {
	n.r.mu.Lock()
	delete(n.r.links, l.index)
	delete(n.r.perLink, l.index)
	n.r.mu.Unlock()
	l.close()
	if ifi, err := net.InterfaceByIndex(l.index); err == nil {
		n.shared.leave(ifi)
	}
	n.r.cfg.Logger.Info("LAN interface no longer in use", "interface", l.name)
}

// reader reads from a socket that only this process has.
func reader(c *net.UDPConn, index int) func([]byte) (int, ingress, error) {
	return func(buf []byte) (int, ingress, error) {
		k, from, err := c.ReadFromUDPAddrPort(buf)
		return k, ingress{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), link: index}, err
	}
}

// listen passes received packets to the registry until the socket is closed.
func (n *network) listen(read func([]byte) (int, ingress, error)) {
	n.group.Go(func(ctx context.Context) error {
		buf := make([]byte, 2*MaxPacket) // shows that a datagram is too long
		for {
			k, a, err := read(buf)
			switch {
			case err == nil:
				n.r.ingest(buf[:k], a)
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
