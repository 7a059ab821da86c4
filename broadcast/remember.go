package broadcast

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/run"
)

const (
	maxRemembered = 64
	saveEvery     = 30 * time.Second
)

// queryRemembered queries the peers of the last run, twice, so that one lost packet does not lose
// them.
func (r *Registry) queryRemembered(ctx context.Context) error {
	if r.cfg.LoadPeers == nil || r.awaitUnmuted(ctx) != nil {
		return nil
	}
	r.queryRememberedOnce()
	if run.Sleep(ctx, time.Second) == nil {
		r.queryRememberedOnce()
	}
	return nil
}

// savePeers saves the peers of this run, at intervals and at its end.
func (r *Registry) savePeers(ctx context.Context) error {
	if r.cfg.SavePeers == nil {
		return nil
	}
	var saved []string
	for {
		err := run.Sleep(ctx, saveEvery)
		now := r.remembered()
		if len(now) > 0 && !slices.Equal(now, saved) {
			if e := r.cfg.SavePeers(now); e != nil {
				r.cfg.Logger.Warn("LAN peers not saved", "err", e)
			}
			saved = now
		}
		if err != nil {
			return nil
		}
	}
}

// queryRememberedOnce queries remembered peers at their last port and at the shared one.
func (r *Registry) queryRememberedOnce() {
	list, err := r.cfg.LoadPeers()
	if err != nil {
		r.cfg.Logger.Warn("LAN peers of the last run not read", "err", err)
		return
	}
	var addrs []netip.AddrPort
	for _, s := range list[:min(len(list), maxRemembered)] {
		if a, err := netip.ParseAddrPort(s); err == nil {
			addrs = append(addrs, a, netip.AddrPortFrom(a.Addr(), uint16(r.cfg.Port)))
		}
	}
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	addrs = slices.Compact(addrs)
	r.do(func(now time.Time) { r.core.exchange(now, addrs...) })
}

// remembered returns the addresses of live peers to save.
func (r *Registry) remembered() []string {
	var out []string
	for _, p := range r.Peers() {
		for _, a := range p.Addrs {
			if !a.Addr().IsLoopback() && a.Addr().Zone() == "" {
				out = append(out, a.String())
				break
			}
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxRemembered)]
}
