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
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
)

const (
	addressEvery  = 2 * time.Second // between two looks at the host's addresses
	newsSpread    = 250 * time.Millisecond
	withdrawLimit = 2 * time.Second
)

// registration is one service of the provider, kept listed at the address that the
// host has now: a host that gets its address late, or another one, is listed again
// by itself.
type registration struct {
	p        *provider
	service  string
	entries  []config.Service // of the configuration; one when it has none
	started  time.Time
	remove   func()             // takes the service off the server
	group    *run.Group         // what registers; ends before what withdraws
	first    chan struct{}      // closed when a registry has listed the service
	asked    chan struct{}      // closed when an operator asks the service to leave
	ask      sync.Once          // of asked
	served   bool               // a call of Serve waits; guarded by the provider's mu
	once     sync.Once          // of first
	trouble  string             // the last reason for having no address; only keep uses it
	saidOnly string             // the address that the log was last told is of this host only; only keep uses it
	stands   []rollout.Standing // of the entries, as the log was last told; only keep uses it
	stopped  func()             // gives the version's turn back; set by keep, nil before it had it

	mu     sync.Mutex
	listed []registry.Instance // what the registries were told last
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
				"and without its entry the service would have no version and no tags", registry.ErrInvalid, service, meant)
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
			return nil // it leaves before its turn has come
		}
		o.stopped = stopped
	}
	for {
		changed := o.p.n.rules.Changed()
		if o.service != membership.NodeService {
			o.judge()
		}
		list, err := o.instances()
		switch {
		case err != nil && err.Error() != o.trouble:
			o.trouble = err.Error()
			o.p.n.log.Warn("the service has no address to be listed at; looking again every 2 s", "service", o.service, "err", err)
		case err == nil:
			o.trouble = ""
			o.list(list)
		}
		if o.wait(ctx, changed) != nil {
			return nil
		}
	}
}

// wait ends when the address should be looked at again, or the rules have
// changed; the processes' own listings follow those soon, not all at once.
func (o *registration) wait(ctx context.Context, changed <-chan struct{}) error {
	again := time.NewTimer(addressEvery)
	defer again.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-again.C:
		return nil
	case <-changed:
		if o.service != membership.NodeService {
			return nil
		}
		return run.Sleep(ctx, run.Jitter(newsSpread, 1))
	}
}

// instances are the registrations as they should be now.
func (o *registration) instances() ([]registry.Instance, error) {
	var list []registry.Instance
	if o.mayRun() != nil {
		return nil, nil
	}
	for _, e := range o.entries {
		at, err := o.p.place(e)
		if err != nil {
			return nil, err
		}
		in := registry.Instance{
			Service: e.Name, Version: e.Version, Host: at.host, Port: at.port, Zone: e.Zone, Weight: e.Weight, Tags: e.Tags,
			TLS: o.p.n.tls.Server != nil, Owner: o.p.n.owner, Started: o.started,
		}
		if o.service == membership.NodeService {
			in.Tags = o.p.n.members.Tags()
		}
		only := membership.HostOnly(at.host, o.p.named(e))
		in = o.p.n.host.Mark(in, only)
		in, fits := at.tagged(in)
		if !slices.ContainsFunc(o.current(), in.Equal) {
			o.say(in, only, at, fits)
		}
		list = append(list, in)
	}
	return list, nil
}

// say tells the log at which address the service is offered from now on.
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

// list tells every registry what is offered now, when that has changed. Each
// is told by a goroutine of its own: one that is away keeps no other waiting.
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

// shownTo leaves out what a registry has no use for: where the database
// orders the rules, it needs not say which process has applied which. An address of this
// host only, which the host has for want of a network, is not written to a
// database that other hosts read when the LAN tells the processes of this host.
func (o *registration) shownTo(s discovery.Source, list []registry.Instance) []registry.Instance {
	if s.Name != sourceDatabase {
		return list
	}
	var out []registry.Instance
	for _, in := range list {
		_, only := in.Tags[registry.HostTag]
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

// stops has every registry list the service as leaving: it still executes what
// comes, and is called only where there is no other instance.
func (o *registration) stops(ctx context.Context) {
	_ = o.group.Stop() // from here on nothing lists the service as one that stays
	list := slices.Clone(o.current())
	for i := range list {
		list[i].Leaving = true
	}
	o.atEach(ctx, len(list), "not marked as leaving in time; callers are told directly",
		func(ctx context.Context, r registry.Registry) error { return r.Register(ctx, list...) })
}

// withdraw takes the service off every list.
func (o *registration) withdraw(ctx context.Context) {
	_ = o.group.Stop() // from here on nothing registers the service again
	var ids []registry.ID
	for _, in := range o.current() {
		ids = append(ids, in.ID())
	}
	o.atEach(ctx, len(ids), "not withdrawn in time; callers are told directly, and the entry expires",
		func(ctx context.Context, r registry.Registry) error { return r.Deregister(ctx, ids...) })
}

// atEach tells every registry something of n instances, and returns when they
// have taken it, or the limit has passed: a registry that is away keeps no caller
// here.
func (o *registration) atEach(ctx context.Context, n int, late string,
	do func(context.Context, registry.Registry) error) {
	if n == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, withdrawLimit)
	defer cancel()
	g := run.NewGroup(ctx)
	for _, s := range o.p.n.sources {
		g.Go(func(ctx context.Context) error {
			if err := do(ctx, s.Registry); err != nil {
				o.p.n.log.Warn(late, "registry", s.Name, "service", o.service, "err", err)
			}
			return nil
		})
	}
	_ = g.Wait()
}

// judge tells the log of this process when the rules keep calls away from a
// version that it offers, and when they do so no more.
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
