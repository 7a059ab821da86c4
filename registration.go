package skerry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/registry"
)

const (
	addressEvery  = 2 * time.Second // between two checks of the host's addresses
	newsSpread    = 250 * time.Millisecond
	withdrawLimit = 2 * time.Second
)

// registration is one service of the provider, kept listed at the host's current address: a host
// that gets its address late, or another one, is listed again by itself.
type registration struct {
	p        *provider
	service  string
	entries  []config.Service // of the configuration; one entry if it has none
	started  time.Time
	remove   func()              // removes the service from the server
	group    *run.Group          // registers; ends before the group that withdraws
	first    chan struct{}       // closed when a registry has listed the service
	asked    chan struct{}       // closed when an operator tells the service to leave
	ask      sync.Once           // of asked
	grace    time.Duration       // of stop, as the operator's step asks; set before asked is closed
	served   bool                // a call of Serve waits; guarded by the provider's mu
	once     sync.Once           // of first
	trouble  string              // the last reason for having no address; only keep uses it
	saidOnly string              // the last logged address that is valid on this host only; only keep uses it
	stands   []rollout.Standing  // of the entries, as last logged; only keep uses it
	said     []registry.Instance // the last instances, before operators' orders; only keep uses it
	stopped  func()              // gives the version's turn back; set by keep, nil before the turn

	mu     sync.Mutex
	listed []registry.Instance // the last list for the registries
}

func newOffer(p *provider, service string) (*registration, error) {
	if err := registry.CheckName("service", service); err != nil {
		return nil, err
	}
	o := &registration{p: p, service: service, started: time.Now(), first: make(chan struct{}),
		asked: make(chan struct{}), group: run.NewGroup(context.Background())}
	for _, s := range p.n.cfg.Services {
		if s.Name == service {
			o.entries = append(o.entries, s)
		}
	}
	if len(o.entries) == 0 {
		names := make([]string, len(p.n.cfg.Services))
		for i, s := range p.n.cfg.Services {
			names[i] = s.Name
		}
		if meant := suggest.Closest(service, names); meant != "" {
			return nil, fmt.Errorf("%w: the program offers the service %q, and the configuration names %q: one of "+
				"the two is misspelt, "+
				"and without its entry the service would have no version and no tags", registry.ErrInvalid,
				service, meant)
		}
		if len(names) > 0 {
			p.n.log.Warn("the service is not in the configuration; it is offered without version and tags",
				"service", service, "configured", strings.Join(names, ", "))
		}
		o.entries = []config.Service{{Name: service, Weight: registry.DefaultWeight, Zone: p.n.cfg.Zone}}
	}
	return o, nil
}

// keep registers the service when its version may run, and again whenever its
// address changes.
func (o *registration) keep(ctx context.Context) error {
	if o.service != membership.NodeService {
		stopped, err := o.p.n.turn(ctx, o.service, o.entries[0].Version)
		if err != nil {
			return nil // it leaves before its turn
		}
		o.stopped = stopped
	}
	for {
		changed, drains := o.p.n.rules.Changed(), o.p.n.drains.Changed()
		var policy <-chan struct{} // only the process's own listing tells of it
		if o.service != membership.NodeService {
			o.judge()
		} else {
			policy = o.p.n.members.Policy().Changed()
		}
		list, err := o.instances()
		switch {
		case err != nil && err.Error() != o.trouble:
			o.trouble = err.Error()
			o.p.n.log.Warn("the service has no address to be listed at; looking again every 2 s",
				"service", o.service, "err", err)
		case err == nil:
			o.trouble = ""
			o.list(list)
		}
		if o.wait(ctx, changed, policy, drains) != nil {
			return nil
		}
	}
}

// wait ends when the address should be checked again, or when the rules or the operators' orders to
// drain have changed. The processes' own listings follow a change of the rules or of the policy after
// a short random delay.
func (o *registration) wait(ctx context.Context, changed, policy, drains <-chan struct{}) error {
	again := time.NewTimer(addressEvery)
	defer again.Stop()
	select {
	case <-policy:
		return run.Sleep(ctx, run.Jitter(newsSpread, 1))
	case <-ctx.Done():
		return ctx.Err()
	case <-again.C:
		return nil
	case <-drains:
		return nil
	case <-changed:
		if o.service != membership.NodeService {
			return nil
		}
		return run.Sleep(ctx, run.Jitter(newsSpread, 1))
	}
}

// instances are the current registrations.
func (o *registration) instances() ([]registry.Instance, error) {
	var list, plain []registry.Instance
	if o.mayRun() != nil {
		o.said = nil
		return nil, nil
	}
	for _, e := range o.entries {
		at, err := o.p.place(e)
		if err != nil {
			return nil, err
		}
		in := registry.Instance{
			Service: e.Name, Version: e.Version, Host: at.host, Port: at.port, Zone: e.Zone,
			Weight: e.Weight, Tags: e.Tags,
			TLS: o.p.n.tls.Server != nil, Owner: o.p.n.owner, Started: o.started,
		}
		if o.service == membership.NodeService {
			in.Tags = o.p.n.members.Tags()
		}
		only := membership.HostOnly(at.host, o.p.named(e))
		in = o.p.n.host.Mark(in, only)
		in, fits := at.tagged(in)
		if !slices.ContainsFunc(o.said, in.Equal) {
			o.say(in, only, at, fits)
		}
		if o.service != membership.NodeService {
			o.p.n.drains.Settle(in)
		}
		plain = append(plain, in)
		list = append(list, o.p.n.shown(in))
	}
	o.said = plain
	return list, nil
}

// say logs the new address of the service.
func (o *registration) say(in registry.Instance, only string, at advertised, fits bool) {
	log := o.p.n.log
	args := []any{"service", in.Service, "version", in.Version, "addr", in.Addr(), "because", at.reason}
	if len(at.others) > 0 {
		args = append(args, "also", at.also())
	}
	if !fits {
		log.Warn("callers in the other networks of this host reach the service through a router only: "+
			"its tags leave no room for the other addresses", args...)
	}
	switch {
	case only != "":
		if o.service != membership.NodeService || len(o.p.n.cfg.Services) == 0 && o.saidOnly != in.Addr() {
			log.Warn("only processes of this host can connect, so no other host is told; it is offered there as "+
				"soon as this host has an address",
				append(args, "address", only)...)
		}
		o.saidOnly = in.Addr()
	case o.service != membership.NodeService:
		log.Info("service is offered", args...)
	case o.saidOnly != "" && len(o.p.n.cfg.Services) == 0:
		log.Info("this process has an address for other hosts now", args...)
		o.saidOnly = ""
	}
}

// mayRun is nil unless the rules give the turn to another version.
func (o *registration) mayRun() error {
	return o.p.n.rules.Log().CheckTurn(o.service, o.entries[0].Version)
}

func (o *registration) current() []registry.Instance {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.listed
}

// list sends the current list to every registry, if it has changed. Each registry has a goroutine
// of its own, so that one that is away does not delay the others.
func (o *registration) list(now []registry.Instance) {
	o.mu.Lock()
	before := o.listed
	o.listed = now
	o.mu.Unlock()
	if o.service == membership.NodeService {
		o.p.n.members.Offered(now)
	}
	if slices.EqualFunc(before, now, registry.Instance.Equal) {
		return
	}
	var old []registry.ID
	for _, in := range before {
		if !slices.ContainsFunc(now, func(x registry.Instance) bool { return x.ID() == in.ID() }) {
			old = append(old, in.ID())
		}
	}
	for _, s := range o.p.n.sources {
		shown := o.shownTo(s, now)
		if slices.EqualFunc(o.shownTo(s, before), shown, registry.Instance.Equal) {
			continue
		}
		o.group.Go(func(ctx context.Context) error {
			o.tell(ctx, s, shown, old)
			return nil
		})
	}
}

// shownTo removes data that a registry does not need. If the database orders the rules, it does not
// need the rules that each process has applied. In mode auto, an address of this host only is not
// written to the database that other hosts read, because the LAN has it for the processes of this
// host. A host without a network has such an address.
func (o *registration) shownTo(s discovery.Source, list []registry.Instance) []registry.Instance {
	if s.Name != sourceDatabase {
		return list
	}
	var out []registry.Instance
	for _, in := range list {
		_, only := in.Tags[reach.HostTag]
		if only && o.p.n.mode() == config.ModeAuto && !o.p.named(o.entries[0]) {
			continue
		}
		if in.Service == membership.NodeService {
			in.Tags = membership.TagsForDatabase(in.Tags)
		}
		out = append(out, in)
	}
	return out
}

func (o *registration) tell(ctx context.Context, s discovery.Source, now []registry.Instance, old []registry.ID) {
	err := s.Registry.Register(ctx, now...)
	switch {
	case err == nil:
		o.once.Do(func() { close(o.first) })
	case ctx.Err() == nil:
		o.p.n.log.Error("registration refused", "registry", s.Name, "service", o.service, "err", err)
		return
	}
	if len(old) > 0 {
		_ = s.Registry.Deregister(ctx, old...) // the registry goes on by itself
	}
}

// stops makes every registry list the service as leaving: it still executes calls, but gets them
// only while there is no other instance.
func (o *registration) stops(ctx context.Context) {
	_ = o.group.Stop() // from here on no goroutine lists the service as one that stays
	list := slices.Clone(o.current())
	for i := range list {
		list[i].Leaving = true
	}
	o.atEach(ctx, len(list), "not marked as leaving in time; callers are told directly",
		func(ctx context.Context, r registry.Registry) error { return r.Register(ctx, list...) })
}

// withdraw removes the service from every list.
func (o *registration) withdraw(ctx context.Context) {
	_ = o.group.Stop() // from here on no goroutine registers the service again
	var ids []registry.ID
	for _, in := range o.current() {
		ids = append(ids, in.ID())
	}
	o.atEach(ctx, len(ids), "not withdrawn in time; callers are told directly, and the entry expires",
		func(ctx context.Context, r registry.Registry) error { return r.Deregister(ctx, ids...) })
}

// atEach calls do with every registry for n instances, and returns when all have finished, or the
// limit has passed: a registry that is away does not block the caller.
func (o *registration) atEach(ctx context.Context, n int, late string,
	do func(context.Context, registry.Registry) error) {
	if n == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, withdrawLimit)
	defer cancel()
	results, stop := o.p.n.atEach(ctx, do)
	for range o.p.n.sources {
		if r := <-results; r.err != nil {
			o.p.n.log.Warn(late, "registry", r.source, "service", o.service, "err", r.err)
		}
	}
	_ = stop()
}

// judge logs when the rules keep calls away from a version that this process offers, and when they
// admit calls again.
func (o *registration) judge() {
	log := o.p.n.log
	for i, e := range o.entries {
		now := o.p.n.rules.Log().Standing(e.Name, e.Version)
		if len(o.stands) <= i {
			o.stands = append(o.stands, "")
		}
		before := o.stands[i]
		if o.stands[i] = now; now == before {
			continue
		}
		what, mend := now.Explain()
		switch {
		case now == "":
			log.Info("the rules let calls come to this version now", "service", e.Name, "version", e.Version)
		case now.Expected():
			log.Info(what, "service", e.Name, "version", e.Version, "mend", mend)
		default:
			log.Warn(what, "service", e.Name, "version", e.Version, "mend", mend)
		}
	}
}
