package broadcast

import (
	"context"
	"errors"
	"net"
	"time"
)

// maxProbeSockets bounds the sockets that wait for a refusal.
const maxProbeSockets = 64

// send carries out one outbound of the core.
func (n *network) send(o outbound) {
	if o.group {
		for _, l := range n.r.links {
			sent, err := l.toAll(o.data, n.r.cfg.Port)
			n.count(l.index, sent, err)
		}
	}
	for _, to := range o.to {
		if o.probeOf != nil && n.sendProbe(o, to) {
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

// socket returns the socket for a path: that of its interface, or of the host's routes.
func (n *network) socket(to path) *net.UDPConn {
	if n.loopbackOnly && !to.addr.Addr().IsLoopback() {
		return nil
	}
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

// sendProbe sends a probe from a connected socket of its own. Only such a socket reports that the
// other host refuses the port, which distinguishes a killed process from a lost packet.
func (n *network) sendProbe(o outbound, to path) bool {
	select {
	case n.probeSockets <- struct{}{}:
	default:
		return false
	}
	if n.loopbackOnly && !to.addr.Addr().IsLoopback() {
		<-n.probeSockets
		return true
	}
	c, err := n.connect(to)
	if err == nil {
		_, err = c.Write(o.data)
	}
	n.count(to.link, 1, err)
	if c == nil {
		<-n.probeSockets
		return false
	}
	owner := *o.probeOf
	started := n.group.Go(func(ctx context.Context) error {
		defer func() { c.Close(); <-n.probeSockets }()
		buf := make([]byte, 2*MaxPacket)
		_ = c.SetReadDeadline(time.Now().Add(lateSeries.every))
		k, err := c.Read(buf)
		switch {
		case err == nil:
			n.r.ingest(buf[:k], ingress{from: to.addr, link: to.link})
		case errors.Is(err, errRefused):
			n.r.do(func(now time.Time) { n.r.core.refused(now, owner, to) })
		}
		return nil
	})
	if !started {
		c.Close()
		<-n.probeSockets
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
