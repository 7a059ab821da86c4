package membership

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/internal/trust"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
	"github.com/skerry/skerry/rpc"
)

const (
	// NodeService is the hidden service under which every process is listed.
	NodeService = "skerry.node"
	// InternalService is the framework's own service on every port
	// (internal/wire/skerry.thrift).
	InternalService = "skerry.internal"
	// Database names the registry in the database, as lists, logs and tools do.
	Database = "database"
)

// keepMembers is how often the list of processes goes to disk when it has changed.
const keepMembers = 2 * time.Second

// Config sets a Membership up. All of it is required.
type Config struct {
	Cluster  string
	Owner    registry.Owner // this process
	Observer bool           // this process is no member: no process lists it
	Caller   string         // its name at the services that it calls; "": none
	Host     Host
	Trust    *trust.Trust
	Files    *state.Files
	Client   rpc.ClientConfig // what connections to other processes share

	// Registries makes the registries of the site. They get the methods that
	// serve them (Learn, Describe, Applied), and call none before they run.
	Registries func(*Membership) ([]discovery.Source, error)

	MaxTraceAge time.Duration // rollout.max_trace_age
	OutsideHold time.Duration // rollout.outside_hold
	ObeyNone    bool          // no policy takes effect in this process (policy.obey)
	Log         *slog.Logger
}

// Membership is this process's part in its site.
type Membership struct {
	cfg          Config
	log          *slog.Logger
	work         *run.Group // what Run starts, and the questions to other processes
	rules        *participant.Agent
	policy       *sitepolicy.Holder
	sources      []discovery.Source
	bootstrap    *bootstrap
	known        func() // the rules are: traces may begin
	list         *list
	peers        peers
	vouchers     *vouchers
	sync         ruleSync
	policies     policySync
	keeper       ruleKeeper
	ages         ages
	introduction introduction
	networks     networks
	denials      denials
	drains       *drain.Book
	checks       *bucket // of signatures, for callers that are no members
	identity     string  // processIdentity of this process
	self         atomic.Pointer[Member]
	edge         atomic.Bool                // this process takes in users' requests
	edges        atomic.Pointer[edgesCount] // at a time
	begun        atomic.Pointer[time.Time]  // since when it follows the registries' lists; nil: not yet
}

// New puts the parts together, in the order in which they need each other.
// Nothing runs yet.
func New(cfg Config) (*Membership, error) {
	m := &Membership{
		cfg:      cfg,
		log:      cfg.Log,
		work:     run.NewGroup(context.Background()),
		checks:   newBucket(checksASec, checksBurst),
		identity: processIdentity(os.Getpid()),
	}
	m.denials.log = cfg.Log
	m.sync.ahead = make(chan struct{}, 1)
	m.policies.ahead = make(chan struct{}, 1)
	m.policies.unkept = make(chan struct{}, 1)
	m.loadDrains()
	m.rules = m.newAgent()
	m.policy = m.newPolicy()
	m.list = m.loadList()
	m.vouchers = &vouchers{ask: m.announces, spawn: m.spawn}
	var err error
	if m.sources, err = cfg.Registries(m); err != nil {
		return nil, err
	}
	m.known = m.rules.BeginBootstrap()
	m.bootstrap = newBootstrap(cfg.Owner, m.sources, m.rules.Log().Last().N != 0, time.Now())
	m.bootstrap.ask = m.askListed
	return m, nil
}

// spawn runs f until it returns or the process leaves; false: it is leaving.
func (m *Membership) spawn(f func(context.Context)) bool {
	return m.work.Go(func(ctx context.Context) error {
		f(ctx)
		return nil
	})
}

// Run learns the rules, follows the processes of the site and makes this one
// known, until ctx ends. It closes the connections to other processes.
func (m *Membership) Run(ctx context.Context) error {
	m.askKept()
	m.work.Go(m.learnFirst)
	m.work.Go(m.followRules)
	m.work.Go(m.policy.Run)
	m.work.Go(m.followPolicies)
	if !m.cfg.Observer {
		m.work.Go(m.announce)
	}
	m.work.Go(m.remember)
	m.work.Go(m.watchAges)
	m.work.Go(m.endDrains)
	for _, s := range m.sources {
		stop := s.Registry.Watch(NodeService, func(snap registry.Snapshot) { m.Hear(s.Name, snap) })
		defer stop()
	}
	begun := time.Now()
	m.begun.Store(&begun)
	<-ctx.Done()
	err := m.work.Stop()
	if closed := m.peers.close(); err == nil {
		err = closed
	}
	return err
}

// Hear takes in what a registry lists as processes of the site.
func (m *Membership) Hear(source string, snap registry.Snapshot) {
	now := time.Now()
	news, policies := m.list.heard(source, snap, now)
	if policies {
		m.policies.wake()
	}
	for _, in := range m.bootstrap.list(source, snap, m.rules.Log().Last(), now) {
		m.bootstrap.ask(in)
	}
	if news && m.bootstrap.done() {
		m.sync.wake()
	}
}

// Offered says at which addresses this process is listed now.
func (m *Membership) Offered(list []registry.Instance) {
	for _, in := range list {
		m.self.Store(&Member{Owner: in.Owner, Addr: in.Addr(), TLS: in.TLS, Place: in.Tags[identityTag],
			Also: in.Tags[reach.AlsoTag]})
		return
	}
}

// remember keeps the list of processes on disk, and what of the rules was not
// kept when they came.
func (m *Membership) remember(ctx context.Context) error {
	tick := time.NewTicker(keepMembers)
	defer tick.Stop()
	for {
		select {
		case <-m.policies.unkept:
			m.keepPolicy(false)
			continue
		case <-tick.C:
		case <-ctx.Done():
		}
		m.cfg.Files.Hold()
		m.keepRules()
		m.keepPolicy(ctx.Err() != nil)
		if list, changed := m.list.changed(); changed {
			if err := m.cfg.Files.Write(state.Members, list); err != nil {
				m.list.touch() // it is tried again
				m.log.Warn("the list of processes is not kept", "err", err)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (m *Membership) loadList() *list {
	kept, err := state.Read[[]Member](m.cfg.Files, state.Members)
	if err != nil {
		m.log.Warn("the kept list of processes can't be read; it is learnt again", "err", err)
	}
	return newList(kept)
}

// Recall adds the processes that those of a state directory on this host knew last, for a command while no registry
// lists any. What it can't read it leaves out.
func (m *Membership) Recall(dir string) {
	paths, _ := filepath.Glob(filepath.Join(dir, m.cfg.Cluster, "*"+string(state.Members)))
	for _, path := range paths {
		var kept []Member
		if state.ReadJSON(path, &kept) == nil {
			m.list.recall(kept)
		}
	}
}

// Agent is the process's part in releases.
func (m *Membership) Agent() *participant.Agent { return m.rules }

// Sources are the registries of the site.
func (m *Membership) Sources() []discovery.Source { return m.sources }

// Trust is by what this process believes others.
func (m *Membership) Trust() *trust.Trust { return m.cfg.Trust }

// Owner is this process.
func (m *Membership) Owner() registry.Owner { return m.cfg.Owner }

// Observer reports whether this process is no member of the site.
func (m *Membership) Observer() bool { return m.cfg.Observer }

// Database is the registry that also orders the rules, nil where there is none.
func (m *Membership) Database() *postgres.Registry {
	for _, s := range m.sources {
		if db, ok := s.Registry.(*postgres.Registry); ok {
			return db
		}
	}
	return nil
}

// Tags are what the process says of itself on the hidden service.
func (m *Membership) Tags() map[string]string {
	log := m.rules.Log()
	tags := map[string]string{rulesTag: fmt.Sprint(log.Last())}
	if hash := log.Hash(); hash != "" {
		tags[rulesTag] += " " + hash
	}
	if news := m.policyNews(); news != "" {
		tags[policyTag] = news
	}
	if m.identity != "" {
		tags[identityTag] = m.identity
	}
	if m.cfg.ObeyNone {
		tags[obeyTag] = sitepolicy.ObeysNone
	}
	if m.edge.Load() {
		tags[gatewayTag] = "1"
	}
	return tags
}

// BeGateway lists the process as one that takes in users' requests, with its next listing.
func (m *Membership) BeGateway() { m.edge.Store(true) }

// edgesCount is a number of gateways, and when they were counted.
type edgesCount struct {
	n  int
	at time.Time
}

// countEdges is how often gateways are counted.
const countEdges = time.Second

// Gateways is the number of processes of the site that take in users' requests, this one included. It costs little.
func (m *Membership) Gateways() int {
	now := time.Now()
	c := m.edges.Load()
	if c == nil || now.Sub(c.at) >= countEdges {
		c = &edgesCount{m.list.edges(m.cfg.Owner) + 1, now}
		m.edges.Store(c)
	}
	return c.n
}

// TagsForDatabase leaves out of the tags what a registry has no use for that
// orders the rules itself.
func TagsForDatabase(tags map[string]string) map[string]string {
	out := map[string]string{identityTag: tags[identityTag]}
	for _, tag := range []string{reach.HostTag, reach.AlsoTag, obeyTag, gatewayTag} {
		if text, ok := tags[tag]; ok {
			out[tag] = text
		}
	}
	return out
}

// AwaitRules waits, as long as ctx lives, until this process knows the rules of
// the site, or that there are none to be had.
func (m *Membership) AwaitRules(ctx context.Context) {
	for !m.bootstrap.done() && run.Sleep(ctx, 10*time.Millisecond) == nil {
	}
}

// List is all processes that this one knows, by owner, itself among them.
func (m *Membership) List() []Member { return m.list.members() }

// Find is what is known of a process.
func (m *Membership) Find(owner registry.Owner) (Member, bool) { return m.list.find(owner) }

// Forget takes a process off that is dead for certain (registry.Owner.String).
func (m *Membership) Forget(process string) { m.list.forget(process) }

// Ended reports whether a process is dead for certain, as this host sees it.
func (m *Membership) Ended(owner registry.Owner, place string) bool {
	return ended(owner, place, m.cfg.Owner)
}

// How long AwaitList waits at the start of this process.
const (
	listLimit  = 3 * time.Second        // for registries that have not answered
	quietLimit = 700 * time.Millisecond // for more members on a LAN
)

// AwaitList waits until every registry has shown its list since this process has begun, or has had the time to; a
// LAN's list may still grow then. Later it does not wait: the lists are followed all the time.
func (m *Membership) AwaitList(ctx context.Context) error {
	lan := slices.ContainsFunc(m.sources, func(s discovery.Source) bool { return s.Name == broadcast.Source })
	for {
		if begun := m.begun.Load(); begun != nil {
			since, all := time.Since(*begun), m.list.sources() == len(m.sources)
			if since > listLimit || all && (since > quietLimit || !lan) {
				return nil
			}
		}
		if err := run.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
