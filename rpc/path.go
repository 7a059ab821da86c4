package rpc

import (
	"context"
	"net/netip"

	"github.com/skerry/skerry/rpc/internal/transport"
)

// Path is the size of packets that pass between this host and an endpoint, in bytes of an IP
// packet.
type Path struct {
	All    bool // full packets pass both ways
	Full   int  // the largest that this end sends; 0 = the system does not report it
	Passes int  // without All: the largest that passes both ways; 0 = less than 576, or not measured
}

const (
	ipv4Heads = 40 // bytes of the heads of IP and TCP
	ipv6Heads = 60
)

// Path measures which packets pass to an endpoint of skerry and back, by pings on connections of
// their own. When full packets do not pass, it searches in about ten steps of a second each. An
// error says that there is no connection at all.
func (c *Client) Path(ctx context.Context, e *Endpoint) (Path, error) {
	p := c.pool(e)
	heads, path := ipv4Heads, Path{}
	if at, err := netip.ParseAddrPort(e.Addr); err == nil && at.Addr().Is6() && !at.Addr().Is4In6() {
		heads = ipv6Heads
	}
	passes, err := p.passesIn(ctx, 0, &path)
	if path.All = passes; err != nil || passes || !transport.CanLimitSegments {
		return path, err
	}
	below, above := 0, max(path.Full, transport.UsualSegment+ipv4Heads)-heads
	for next := narrowSegment; above-below > 1; next = (below + above) / 2 {
		passes, err := p.passesIn(ctx, next, &path)
		switch {
		case err != nil:
			return path, err
		case passes:
			below = next
			path.Passes = next + heads
		case below == 0:
			return path, nil
		default:
			above = next
		}
	}
	return path, nil
}

// passesIn reports whether full segments of a size pass. After a failure it tries once more, because
// any path may lose a packet.
func (p *connPool) passesIn(ctx context.Context, segment int, path *Path) (passes bool, err error) {
	for range 2 {
		l, err := p.attempt(transport.WithSegment(ctx, segment), 0)
		if err != nil {
			return false, err
		}
		path.Full = max(path.Full, transport.PacketSize(l.nc))
		_, err = l.askPadded(ctx)
		l.fail(errUnused)
		if err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return false, nil
}
