package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Orders sends an operator's orders to the processes of a site: to drain, to put back, to leave, and to
// forget a process that has ended.
type Orders struct {
	n  *skerry.Node
	s  *site
	by Operator
}

// Drained is what a process says after an order, or when it is asked.
type Drained struct {
	Running  int64 // calls of its drained services that run; those of plain providers are not known
	Drains   int   // in force
	Retained int64 // of these, those that it has on its disk for the next start
}

// NewOrders finds the processes of the site.
func NewOrders(ctx context.Context, n *skerry.Node, by Operator) (*Orders, error) {
	o := &Orders{n: n, s: newSite(n), by: by}
	if by.Signer == nil {
		o.by.Signer = n.Membership().Trust().SiteSigner()
	}
	_, err := o.s.members(ctx)
	return o, err
}

// Processes returns all processes that are known, also silent ones (registry.Owner.String).
func (o *Orders) Processes() []string {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	all := maps.Clone(o.s.all)
	delete(all, o.s.m.Owner().String())
	return slices.Sorted(maps.Keys(all))
}

// peer returns a known process.
func (o *Orders) peer(process string) (*membership.Peer, error) {
	o.s.mu.Lock()
	k, known := o.s.all[process]
	o.s.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("%s is no process that the site knows", process)
	}
	return o.s.m.Peer(k)
}

// Answers asks whether the process is alive. The error is the reason for silence.
func (o *Orders) Answers(ctx context.Context, process string) error {
	ctx, cancel := context.WithTimeout(ctx, siteLimit)
	defer cancel()
	p, err := o.peer(process)
	if err != nil {
		return err
	}
	return p.Same(ctx)
}

// Look asks a process for its drains.
func (o *Orders) Look(ctx context.Context, process string) (Drained, error) {
	p, err := o.peer(process)
	if err != nil {
		return Drained{}, err
	}
	w, err := o.look(ctx, p)
	return drainedOf(w), err
}

func (o *Orders) look(ctx context.Context, p *membership.Peer) (*wire.Drains, error) {
	ctx, cancel := context.WithTimeout(ctx, siteLimit)
	defer cancel()
	w, err := p.Drains(ctx)
	if rpc.CodeOf(err) == rpc.UnknownMethod {
		err = fmt.Errorf("the release of skerry in %s can't be drained: upgrade it", p.Owner)
	}
	return w, err
}

// drainedOf reads an answer; nil is none.
func drainedOf(w *wire.Drains) Drained {
	if w == nil {
		return Drained{}
	}
	return Drained{Running: w.GetRunning(), Drains: len(w.GetDrains()), Retained: w.GetRetained()}
}

// Send signs an order for a process and brings it there. It fills in cluster, process, number and operator. Its errors
// wrap those of package drain, and rollout.ErrUnproven.
func (o *Orders) Send(ctx context.Context, process string, order drain.Order) (Drained, error) {
	p, err := o.peer(process)
	if err != nil {
		return Drained{}, err
	}
	now, err := o.look(ctx, p)
	if err != nil {
		return Drained{}, err
	}
	order.Cluster, order.To, order.Number = o.s.m.Agent().Cluster(), process, now.Number+1
	order.By = o.by.Name
	if _, err := drain.Parse([]byte(order.Text())); err != nil {
		return Drained{}, err
	}
	proof, err := o.by.Signer.Sign(drain.Purpose, order.Text())
	if err != nil {
		return Drained{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, siteLimit)
	defer cancel()
	w, err := p.Obey(ctx, order, proof)
	return drainedOf(w), err
}

// Fate is what is certain of a silent process.
type Fate int

// The fates.
const (
	Unknown Fate = iota // no process of its host can say
	Runs                // a process of its host sees it
	Ended               // a process of its host certifies its end
)

// Fate asks the processes of its host.
func (o *Orders) Fate(ctx context.Context, process string) Fate {
	if o.s.Ended(ctx, process, "") {
		return Ended
	}
	k, neighbours, known := o.s.neighbours(process, "")
	if !known {
		return Unknown
	}
	ctx, cancel := context.WithTimeout(ctx, siteLimit)
	defer cancel()
	for _, other := range neighbours[:min(len(neighbours), 3)] {
		p, err := o.s.m.Peer(other)
		if err != nil {
			continue
		}
		switch dead, err := p.Ended(ctx, k.Owner, k.Place); {
		case err != nil:
		case dead:
			return Ended
		default:
			return Runs
		}
	}
	return Unknown
}

// Removed is the effect of Remove.
type Removed struct {
	Rows    int      // of instances, in the database
	Forgot  int      // processes that knew it, and forget it
	Refused []string // processes that did not, and why
}

// Remove takes a process that has ended off all lists. It deletes the rows of the process in the database, but not if
// the end is uncertain and the lease was renewed lately. On the LAN, every process asks it once more, and drops it
// without an answer. Then the other processes forget it as a member, so that no release waits for it.
func (o *Orders) Remove(ctx context.Context, process string, certain bool, why string) (Removed, error) {
	var r Removed
	owner, err := registry.ParseOwner(process)
	if err != nil {
		return r, err
	}
	if db := o.s.m.Database(); db != nil {
		var renewed time.Duration
		if r.Rows, renewed, err = db.Evict(ctx, owner, certain); err != nil {
			return r, err
		}
		if renewed > 0 {
			return r, fmt.Errorf("%w: its lease in the database was renewed %v ago", drain.ErrAlive,
				renewed.Round(time.Millisecond))
		}
	}
	if err := o.dropped(ctx, process); err != nil {
		return r, err
	}
	o.s.mu.Lock()
	others := slices.DeleteFunc(slices.Collect(maps.Values(o.s.all)), func(k membership.Member) bool {
		return k.Gone != "" || k.Owner == owner || k.Owner == o.s.m.Owner()
	})
	o.s.mu.Unlock()
	for _, k := range others {
		if o.s.Ended(ctx, k.Owner.String(), k.Place) {
			continue
		}
		_, err := o.Send(ctx, k.Owner.String(), drain.Order{Verb: drain.Forget, Process: process, Why: why})
		switch {
		case err == nil:
			r.Forgot++
		case errors.Is(err, drain.ErrAlive):
			return r, fmt.Errorf("%s says: %w", k.Owner, err)
		default:
			r.Refused = append(r.Refused, fmt.Sprintf("%s: %v", k.Owner, err))
		}
	}
	o.s.m.Forget(process)
	return r, nil
}

// dropped has every process of the LAN ask whether the process lives, and drop it when it does not. It
// returns when the process is off the list of the LAN here.
func (o *Orders) dropped(ctx context.Context, process string) error {
	for _, source := range o.s.m.Sources() {
		lan, ok := source.Registry.(*broadcast.Registry)
		if !ok {
			continue
		}
		for begun := time.Now(); ; {
			listed := o.onLAN(process)
			if len(listed) == 0 {
				break
			}
			if time.Since(begun) > siteLimit {
				return fmt.Errorf("%s: %w: it answers on the LAN", process, drain.ErrAlive)
			}
			for _, id := range listed {
				lan.Suspect(id, "an operator says that it has ended")
			}
			if err := run.Sleep(ctx, siteLimit/10); err != nil {
				return err
			}
		}
		return run.Sleep(ctx, othersDrop)
	}
	return nil
}

// othersDrop is the time in which the other processes drop what does not answer this one.
const othersDrop = time.Second

func (o *Orders) onLAN(process string) (listed []registry.ID) {
	for _, e := range append(o.n.Explain(""), o.n.Explain(membership.NodeService)...) {
		onLAN := slices.ContainsFunc(e.Sources, func(l discovery.SourceListing) bool {
			return l.Name == broadcast.Source
		})
		if e.Owner == process && e.State != discovery.Gone && onLAN {
			listed = append(listed, idOf(e))
		}
	}
	return listed
}

func idOf(e discovery.Entry) registry.ID {
	id := registry.ID{Service: e.Service, Version: e.Version, Addr: e.Addr}
	if owner, err := registry.ParseOwner(e.Owner); err == nil {
		id.Epoch = owner.Epoch
	}
	return id
}
