package skerry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/heap"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/internal/trust"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Config is the configuration of a node. Package config reads it from a file, fills in its defaults
// and checks it.
type Config = config.Config

// Node is one process's part in a cluster: a consumer of services, and a provider after
// [Node.Handle] or [Node.Serve]. Its methods may be called from any goroutine.
type Node struct {
	cfg       Config // with defaults
	opts      options
	log       *slog.Logger
	owner     registry.Owner
	files     *state.Files
	tls       config.Credentials
	sources   []discovery.Source
	stats     *health.Recorder
	recent    *recent.Recorder // for trying policies
	spans     *spans.Recorder
	trust     *trust.Trust
	host      membership.Host
	keyless   chan struct{} // closed when the LAN need not wait for the database's key; may be nil
	siteTLS   *sitetls.Site
	rules     *participant.Agent
	members   *membership.Membership
	drains    *drain.Book // what operators have drained here
	lowerHeap func()      // ends memory.floor
	lists     *discovery.Discovery
	calls     *rpc.Client
	offers    *provider
	internal  *membership.Service
	checker   doctor.Checker // of the examinations that members ask for

	// Running groups, in the order of their start; Close stops them in reverse.
	registries, lookout, counting *run.Group

	close    sync.Once
	closeErr error

	mu      sync.Mutex
	clients map[string]thrift.TClient         // made without options of the caller
	foreign map[registry.ID]registry.Instance // listed by Register
}

// OpenFile starts a node by a configuration file; the empty path means the
// defaults. See [Open].
func OpenFile(ctx context.Context, path string, opts ...Option) (*Node, error) {
	var cfg Config
	if path != "" {
		var err error
		if cfg, err = config.Read(path); err != nil {
			return nil, err
		}
	}
	return Open(ctx, cfg, opts...)
}

// Open starts a node; Config{} means the defaults. It returns as soon as the node runs: it waits
// for no database and no network, and retries for ever to reach them. The node uses the values of
// ctx and ignores its end: the node lives until Close.
func Open(ctx context.Context, cfg Config, opts ...Option) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n, err := newNode(cfg.WithDefaults(), opts)
	if err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	n.start(context.WithoutCancel(ctx))
	return n, nil
}

// newNode builds the parts and starts none of them.
func newNode(cfg Config, opts []Option) (n *Node, err error) {
	n = &Node{cfg: cfg, owner: registry.NewOwner(), clients: map[string]thrift.TClient{},
		foreign: map[registry.ID]registry.Instance{}}
	for _, o := range opts {
		o(&n.opts)
	}
	if n.log = n.opts.logger; n.log == nil {
		n.log = cfg.Log.Logger()
	}
	n.files = n.openState()
	files := n.files // a return of nil still frees the files
	defer func() {
		if err != nil {
			files.Close()
		}
		files.Started()
	}()
	if n.tls, err = cfg.TLS.Load(); err != nil {
		return nil, err
	}
	if n.trust, err = trust.New(trustOf(cfg)); err != nil {
		return nil, err
	}
	n.loadKeys()
	n.siteTLS, err = sitetls.New(sitetls.Config{Cluster: cfg.Cluster, Owner: n.owner.String(),
		Seeds: n.trust.Use(trust.Site)})
	if err != nil {
		return nil, err
	}
	n.host = membership.ThisHost(n.owner)
	n.host.Name = cmp.Or(n.opts.here, n.host.Name)
	if n.members, err = n.newMembership(); err != nil {
		return nil, err
	}
	n.sources, n.rules, n.drains = n.members.Sources(), n.members.Agent(), n.members.Drains()
	for service := range cfg.Consumers {
		if service != "*" {
			n.rules.MayCall(service) // other callees are added with their clients
		}
	}
	n.stats, n.recent, n.spans = n.newRecorder(), recent.New(), spans.New()
	if n.lists, err = n.newLists(); err != nil {
		return nil, err
	}
	if n.calls, err = rpc.NewClient(n.callsConfig()); err != nil {
		return nil, err
	}
	n.offers, err = newProvider(n)
	return n, err
}

// newMembership makes this process's part in the site.
func (n *Node) newMembership() (*membership.Membership, error) {
	return membership.New(membership.Config{
		Cluster:     n.cfg.Cluster,
		Owner:       n.owner,
		Observer:    n.opts.observer,
		Caller:      n.name(),
		Host:        n.host,
		Trust:       n.trust,
		Files:       n.files,
		Client:      n.clientConfig(),
		Registries:  n.newSources,
		MaxTraceAge: n.cfg.Rollout.MaxTraceAge,
		OutsideHold: n.cfg.Rollout.OutsideHold,
		ObeyNone:    n.cfg.Policy.Obey == config.ObeyNone,
		Log:         n.log,
	})
}

// clientConfig is the common configuration of connections to other processes.
func (n *Node) clientConfig() rpc.ClientConfig {
	return rpc.ClientConfig{
		TLSNow:         n.tls.Client,
		RequireTLS:     n.cfg.TLS.Providers != "any",
		ConnectTimeout: n.cfg.Calls.ConnectTimeout,
		Site:           n.siteTLS,
		Identity:       n.identity(),
		Logger:         n.log,
	}
}

// Spans keeps the spans of this process, for package gateway and for commands.
func (n *Node) Spans() *spans.Recorder { return n.spans }

// Recent remembers the calls of the last minutes, for package gateway.
func (n *Node) Recent() *recent.Recorder { return n.recent }

// streamLimits are the bounds of the program's streams.
func (n *Node) streamLimits() rpc.StreamLimits {
	s := n.cfg.Streams
	return rpc.StreamLimits{
		Window: s.Window, Item: s.Item, Memory: s.Memory, Stall: s.Stall, Conn: s.Conn, Most: s.Most, Grace: s.Grace,
		Move: n.cfg.Rollout.StreamGrace,
	}
}

// callsConfig is the configuration for the program's calls.
func (n *Node) callsConfig() rpc.ClientConfig {
	c := n.clientConfig()
	c.Resolver, c.Watcher = n.lists, n.lists
	c.Reach = func(e *rpc.Endpoint) string { return n.members.Reach(e.Addr, n.lists.Tags(e)) }
	c.Caller = n.name()
	c.Facts = n.facts
	c.Connections = n.cfg.Calls.Connections
	c.Sizes, c.Streams = rpc.Sizes{Frame: n.cfg.Limits.Frame}, n.streamLimits()
	c.Interceptors = n.opts.client
	c.Health, c.Recent, c.Spans = n.stats, n.recent, n.spans
	c.Rollout = n.rules
	c.Rules = n.members.RuleExchange(func(service string, to *rpc.Endpoint) thrift.TClient {
		return n.calls.At(service,
			to)
	})
	c.Vouch = n.members.Vouch
	c.Policy, c.Self = n.members.Policy().Table, n.callerFacts()
	c.RefuseOrphans = n.cfg.Rollout.Orphans == config.OrphansStrict
	return c
}

// callerFacts are what the conditions of the site's policy can name of this process as a caller.
func (n *Node) callerFacts() policy.Request {
	q := policy.Request{Zone: n.cfg.Zone}
	if n.opts.caller == "" && len(n.cfg.Services) > 0 {
		s := n.cfg.Services[0]
		q.CallerVersion, q.Tags, q.Zone = s.Version, s.Tags, cmp.Or(s.Zone, n.cfg.Zone)
	}
	return q
}

// openState opens this process's files.
func (n *Node) openState() *state.Files {
	_, port := n.cfg.ListenAddr()
	services := make([]string, len(n.cfg.Services))
	for i, s := range n.cfg.Services {
		services[i] = s.Name + " " + s.Version
	}
	return state.Open(state.Config{
		Dir:     n.cfg.StateDir,
		Cluster: n.cfg.Cluster,
		Name:    state.Name(n.name(), port),
		Log:     n.log,

		Services: services,
	})
}

// identity is this process's identity on users' connections.
func (n *Node) identity() rpc.Identity {
	return rpc.Identity{Cluster: n.cfg.Cluster, Owner: n.owner.String(), Keys: n.trust.Use(trust.Hello)}
}

func (n *Node) newLists() (*discovery.Discovery, error) {
	return discovery.New(discovery.Config{
		Cluster:   n.cfg.Cluster,
		Sources:   n.sources,
		Options:   n.listOptions,
		Zone:      n.cfg.Zone,
		Probe:     func(ctx context.Context, e *rpc.Endpoint) error { return n.calls.Check(ctx, e) },
		StateFile: n.files.Path(state.Lists),
		WatchAll:  n.opts.watchAll,
		Hidden:    membership.Hidden,
		Sealed:    n.cfg.Site.Calls != "",
		Elsewhere: n.host.Elsewhere,
		WarmUp:    n.cfg.Calls.WarmUp,
		Eject:     n.cfg.Calls.Eject,
		Logger:    n.log,
	})
}

// start starts the work beside the calls.
func (n *Node) start(ctx context.Context) {
	_, n.lowerHeap = heap.Raise(n.cfg.Memory.Floor)
	n.registries = run.NewGroup(ctx)
	for _, s := range n.sources {
		n.registries.Go(func(ctx context.Context) error {
			if err := s.Registry.Run(ctx); err != nil {
				// An error without a remedy ends this registry; the others go on.
				n.log.Error("registry has stopped for good", "registry", s.Name, "err", err)
			}
			return nil
		})
	}
	n.lookout = run.NewGroup(ctx)
	n.lookout.Go(n.lists.Run)
	n.watchDatabase()
	if !n.opts.observer {
		n.offers.join()
	}
	n.lookout.Go(n.members.Run)
	n.lookout.Go(n.followDrains)
	n.lookout.Go(n.followPolicy)
	n.lookout.Go(func(ctx context.Context) error { return n.trust.Run(ctx, n.log) })
	if n.tls.Configured() {
		n.lookout.Go(func(ctx context.Context) error { return n.tls.Run(ctx, n.log) })
	}
	n.counting = run.NewGroup(ctx)
	if n.cfg.Stats.Interval > 0 {
		n.counting.Go(n.stats.Run)
	}
	if n.cfg.Policy.Obey == config.ObeyNone && !n.opts.observer {
		n.log.Error("this process obeys no policy of the site, its access lists and limits neither (policy.obey, "+
			"SKERRY_POLICY)", "do", membership.ObeyAgain)
	}
	n.log.Info("node is open", "cluster", n.cfg.Cluster, "mode", n.mode(), "registries", n.sourceNames(), "owner",
		n.owner.String())
}

// Membership is this process's part in its site, for the commands of this module.
func (n *Node) Membership() *membership.Membership { return n.members }

// Stats are the node's counts of its calls, on both sides.
func (n *Node) Stats() *health.Recorder { return n.stats }

// Close leaves the site in order, unless Serve has done so, and ends everything that the node
// started: nothing of it outlives Close. Later calls wait for the first and return the same result.
func (n *Node) Close() error {
	n.close.Do(func() {
		registrations := run.NewGroup(context.Background())
		registrations.Go(func(context.Context) error { n.giveUpRegistrations(); return nil })
		n.closeErr = errors.Join(
			n.offers.leave(n.cfg.Stop),
			registrations.Wait(),
			n.calls.Close(),
			n.closeStats(),
			n.lookout.Stop(),
			n.registries.Stop(),
		)
		n.files.Close()
		n.lowerHeap()
		n.log.Info("node is closed")
	})
	return n.closeErr
}

// name is the name of this process for callees.
func (n *Node) name() string {
	if n.opts.caller != "" {
		return n.opts.caller
	}
	if len(n.cfg.Services) > 0 {
		return n.cfg.Services[0].Name
	}
	return ""
}

// facts describes this process to the servers that it calls, for the site's policy.
func (n *Node) facts() (zone, version string, tags map[string]string) {
	zone = n.cfg.Zone
	for _, s := range n.cfg.Services {
		if s.Name == n.name() {
			return cmp.Or(s.Zone, zone), s.Version, s.Tags
		}
	}
	return zone, "", nil
}
