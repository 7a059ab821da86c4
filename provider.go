package skerry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// listLimit is how long Handle waits for the first registry to list a service.
const listLimit = 3 * time.Second

var errLeft = errors.New("the node has left: it was closed, or the context of its last Serve has ended")

// provider is the node's part as a server: one port for all its services.
type provider struct {
	n      *Node
	server *rpc.Server
	group  *run.Group // for the port; each offer has a group of its own

	leavers *run.Group // services that leave because a release has retired them

	// place decides the current address of a service's listings.
	place func(config.Service) (advertised, error)

	mu       sync.Mutex
	listener net.Listener // nil until a service is offered
	offers   map[string]*registration
	member   *registration // the process itself; nil for an observer
	serving  int           // running calls of Serve
	leaving  bool

	once    sync.Once // of the stop
	leftErr error
	left    chan struct{} // closed when no service is served any more
}

func newProvider(n *Node) (*provider, error) {
	p := &provider{n: n, offers: map[string]*registration{}, left: make(chan struct{}),
		group:   run.NewGroup(context.Background()),
		leavers: run.NewGroup(context.Background())}
	p.place = func(s config.Service) (advertised, error) {
		return advertise(s.Advertise, p.addr(), n.cfg.LAN.Interfaces)
	}
	var err error
	p.server, err = rpc.NewServer(rpc.ServerConfig{
		Instance:     n.owner.String(),
		TLS:          n.tls.Server,
		Site:         n.siteTLS,
		Identity:     n.identity(),
		Member:       n.isMember,
		CountClear:   n.cfg.Site.Calls == config.CallsPrefer,
		RefuseClear:  n.cfg.Site.Calls == config.CallsSealed,
		Also:         n.cfg.Offers,
		MaxConns:     n.cfg.Limits.Conns,
		MaxCalls:     n.cfg.Limits.Calls,
		MaxConnCalls: n.cfg.Limits.ConnCalls,
		Sizes:        rpc.Sizes{Frame: n.cfg.Limits.Frame},
		Streams:      n.streamLimits(),
		Interceptors: n.opts.server,
		Health:       n.stats,
		Recent:       n.recent,
		Spans:        n.spans,
		Logger:       n.log,
		Listed:       n.lists.Offers,

		Policy: sitePolicy{n},
		Host:   n.owner.Host,

		Rollout:       n.rules,
		Entry:         n.cfg.IsEntry,
		RefuseOrphans: n.cfg.Rollout.Orphans == config.OrphansStrict,
	})
	if err != nil {
		return nil, err
	}
	self := n.callerFacts()
	self.Caller = n.name()
	n.internal = n.members.Service(membership.ServiceConfig{Lists: n.lists, Offers: p, Stats: n.stats,
		Recent: n.recent, Spans: n.spans, Self: self, Answered: p.answered, Denied: p.server.DeniedCalls,
		Examine: n.examine, IDL: n.described, Streams: p.streams})
	return p, n.internal.HandleAt(p.server)
}

// described names where the configuration describes a service: one that the process offers, in itself or for a program
// behind its proxy, or one that its gateway leads to.
func (n *Node) described(service string) (d membership.Description, ok bool) {
	for _, s := range n.cfg.Services {
		if s.Name == service && s.Thrift != "" {
			return membership.Description{File: s.Thrift, Version: s.Version}, true
		}
	}
	for _, r := range n.cfg.Gateway.Routes {
		if r.Service == service && r.Thrift != "" {
			return membership.Description{File: r.Thrift, Include: r.Include, Interface: r.Interface}, true
		}
	}
	return d, false
}

// sitePolicy implements rpc.SitePolicy.
type sitePolicy struct{ n *Node }

func (p sitePolicy) Table() *policy.Table { return p.n.members.Policy().Table() }

func (p sitePolicy) Living(service string) int { return p.n.lists.Living(service) }

// Handle offers the service and returns; the service is served until Close. The registries get the
// service's configuration (version, weight, tags, …). Handle waits up to 3 s until one of them has
// listed the service; those that can't be reached are retried for ever. It does not wait for a
// version that may not run yet, which is listed when its turn comes (AcquireExclusive). A process that
// obeyed a policy of the site before first learns whether that has changed, for 3 s at most. After an
// error the service is not offered: the port is in use, or the name is served already.
func (n *Node) Handle(ctx context.Context, service string, p thrift.TProcessor) error {
	if err := n.offers.handle(ctx, service, p, n.offers.server.Handle); err != nil {
		return fmt.Errorf("offer %s: %w", service, err)
	}
	return nil
}

// HandleMembers offers one of the framework's own services, as Handle does. Only processes that have proven to be of
// the site may call it, at most 4 calls of each at a time, and neither the site's policy nor its releases bear on them.
func (n *Node) HandleMembers(ctx context.Context, service string, p thrift.TProcessor) error {
	at := func(service, version string, p thrift.TProcessor) (remove func(), err error) {
		return n.offers.server.HandleInternal(service, version, p)
	}
	if err := n.offers.handle(ctx, service, p, at); err != nil {
		return fmt.Errorf("offer %s: %w", service, err)
	}
	return nil
}

// handleAt adds a service to the port.
type handleAt func(service, version string, p thrift.TProcessor) (remove func(), err error)

// named reports whether the operator has chosen the listed address of a service.
func (p *provider) named(s config.Service) bool {
	a := p.addr()
	return s.Advertise != "" || len(p.n.cfg.LAN.Interfaces) > 0 || a != nil && !a.IP.IsUnspecified()
}

func (p *provider) handle(ctx context.Context, service string, proc thrift.TProcessor, at handleAt) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.n.members.AwaitKeptPolicy(ctx) // no call is served by one that is out of date
	o, err := p.add(service, proc, at)
	if err != nil {
		return err
	}
	if o.mayRun() != nil {
		return nil // listed when its turn comes
	}
	wait, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	select {
	case <-o.first:
	case <-wait.Done():
		p.n.log.Warn("no registry has listed the service yet; it is served, and the registries are tried until they do",
			"service", service)
	}
	return nil
}

func (p *provider) add(service string, proc thrift.TProcessor, at handleAt) (*registration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return nil, errLeft
	}
	o, err := newOffer(p, service)
	if err != nil {
		return nil, err
	}
	if o.remove, err = at(service, o.entries[0].Version, proc); err != nil {
		return nil, err
	}
	if err := p.listen(); err != nil {
		o.remove()
		return nil, err
	}
	p.offers[service] = o
	o.group.Go(o.keep)
	return o, nil
}

// listen opens the port when the first service needs it. The caller holds mu.
func (p *provider) listen() error {
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(p.n.cfg.ListenAddr()))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p.listener = l
	p.group.Go(func(ctx context.Context) error {
		err := p.server.Serve(ctx, l)
		if err != nil {
			p.n.log.Error("the port is closed", "addr", l.Addr().String(), "err", err)
		}
		return err
	})
	return nil
}

// addr is the address of the port, nil while there is none.
func (p *provider) addr() *net.TCPAddr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return nil
	}
	return p.listener.Addr().(*net.TCPAddr)
}

// fetchAddr is the address of the framework's own service, for peers on the LAN. Without a host, a
// peer uses the sender's address of this process's packets.
func (p *provider) fetchAddr() string {
	a := p.addr()
	if a == nil {
		return ""
	}
	host := ""
	if !a.IP.IsUnspecified() {
		host = a.IP.String()
	}
	return net.JoinHostPort(host, fmt.Sprint(a.Port))
}

// each calls f for every offered service.
func (p *provider) each(f func(*registration)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.offers {
		f(o)
	}
}

// isMember returns the reason why a caller does not count as a process of the site.
func (n *Node) isMember(p rpc.PeerInfo) error { return n.trust.Member(p.Addr, p.Certificate != nil) }

// streams counts the streams that the process serves and has opened.
func (p *provider) streams() (served, opened []rpc.StreamCount) {
	return p.server.Streams(), p.n.calls.Streams()
}

// answered is the port's counts of answered and refused calls.
func (p *provider) answered() rpc.ServerStats {
	s := p.server.Stats()
	if p.n.cfg.Site.Calls != config.CallsSealed {
		s.InClear = 0 // they were accepted
	}
	return s
}

// join opens the port, even for a process without services, and lists the process under the hidden
// service.
func (p *provider) join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return
	}
	if err := p.listen(); err != nil {
		// Handle will return the same error.
		p.n.log.Warn("this process is on no membership list: releases don't wait for it", "err", err)
		return
	}
	s := config.Service{Name: membership.NodeService, Weight: -1, Zone: p.n.cfg.Zone}
	if len(p.n.cfg.Services) > 0 {
		s.Advertise = p.n.cfg.Services[0].Advertise
	}
	p.member = &registration{p: p, service: s.Name, entries: []config.Service{s}, started: time.Now(),
		first: make(chan struct{}), asked: make(chan struct{}), group: run.NewGroup(context.Background())}
	p.member.group.Go(p.member.keep)
}

// listings calls f for every offered service, and for the process itself.
func (p *provider) listings(f func(*registration)) {
	p.each(f)
	p.mu.Lock()
	m := p.member
	p.mu.Unlock()
	if m != nil {
		f(m)
	}
}

// Services implements membership.Offers.
func (p *provider) Services() (names []string) {
	p.each(func(o *registration) { names = append(names, o.service) })
	return names
}

// Announced implements membership.Offers. The LAN registry has announced the hash of the list, so
// only that registry knows it.
func (p *provider) Announced() []registry.Instance {
	for _, s := range p.n.sources {
		if lan, ok := s.Registry.(interface{ Offered() []registry.Instance }); ok {
			return lan.Offered()
		}
	}
	return nil
}

// Listings implements membership.Offers: as operators let the lists show them.
func (p *provider) Listings() (list []registry.Instance) {
	p.n.mu.Lock()
	for _, in := range p.n.foreign {
		list = append(list, p.n.shown(in))
	}
	p.n.mu.Unlock()
	p.listings(func(o *registration) { list = append(list, o.current()...) })
	return list
}

// CutMoved implements membership.Offers.
func (p *provider) CutMoved(service, version string) int { return p.server.CutMoved(service, version) }

// Running implements membership.Offers.
func (p *provider) Running(service string) int { return p.server.Running(service) }

// Depart implements membership.Offers.
func (p *provider) Depart(instances []registry.Instance) {
	const why = "an operator has deregistered them"
	if len(instances) == 0 {
		p.n.lookout.Go(func(ctx context.Context) error {
			p.n.dismissThose(ctx, why, func(registry.ID) bool { return true })
			_ = p.n.Leave() // the log has the error
			return nil
		})
		return
	}
	named := map[registry.ID]bool{}
	for _, in := range instances {
		named[in.ID()] = true
		p.mu.Lock()
		if o := p.offers[in.Service]; o != nil && slices.ContainsFunc(o.current(), in.Equal) {
			o.depart(p.n.cfg.Stop)
		}
		p.mu.Unlock()
	}
	p.n.lookout.Go(func(ctx context.Context) error {
		p.n.dismissThose(ctx, why, func(id registry.ID) bool { return named[id] })
		return nil
	})
}

// Retire implements membership.Offers.
func (p *provider) Retire(service, version string) bool {
	announced := p.n.dismiss(service, version)
	return p.retire(service, version) || announced
}
