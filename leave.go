package skerry

import (
	"context"

	"github.com/skerry/skerry/config"
)

// Retract takes a service away that Handle has offered, and leaves all else as it
// is: it goes off the lists at once, without Stop.Grace, later calls are refused
// unexecuted, and running ones go on. It may be offered again. It is for services
// that this process passes on to a program that can fail by itself.
func (n *Node) Retract(ctx context.Context, service string) {
	p := n.offers
	p.mu.Lock()
	o := p.offers[service]
	delete(p.offers, service)
	p.mu.Unlock()
	if o != nil {
		_ = o.end(config.Stop{Grace: -1, Drain: -1}) // what runs goes on
	}
}

// Offered reports whether a service that was given to Handle is offered still. It
// is not once a release has retired its version.
func (n *Node) Offered(service string) bool {
	n.offers.mu.Lock()
	defer n.offers.mu.Unlock()
	return n.offers.offers[service] != nil
}

// Leave takes everything that the node offers away politely, as Close does first:
// off the lists, Stop.Grace, refused unexecuted, up to Stop.Drain for what runs.
// The node can call others until Close. The error says how many calls were cut
// off.
func (n *Node) Leave() error { return n.offers.leave(n.cfg.Stop) }
