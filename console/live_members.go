package console

import (
	"context"
	"slices"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// compareMembers tells the log of members which processes there are. It waits until the lists are complete.
func (l *live) compareMembers(entries []discovery.Entry) {
	if now := time.Now(); now.Sub(l.begun) >= settleTime {
		l.members.compare(now, l.cfg.Node.Membership().List(), entries)
	}
}

// watchMembers compares when a registry shows other processes than before, at most once a second, until ctx ends. A
// look compares, too.
func (l *live) watchMembers(ctx context.Context) {
	changed := make(chan struct{}, 1)
	for _, src := range l.cfg.Node.Membership().Sources() {
		var last []registry.Instance
		stop := src.Registry.Watch(membership.NodeService, func(snap registry.Snapshot) {
			same := slices.EqualFunc(last, snap.Instances, func(a, b registry.Instance) bool {
				return a.Owner == b.Owner
			})
			if last = snap.Instances; !same {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		})
		defer stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		if run.Sleep(ctx, comparePeriod) != nil {
			return
		}
		l.compareMembers(l.cfg.Node.Explain(""))
	}
}
