package broadcast

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/registrar"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Source is that field of the registry's snapshots.
const Source = "lan"

const (
	scanEvery    = 2 * time.Second // how soon a changed interface is detected
	confirmEvery = 30 * time.Second
	fetchTimeout = 3 * time.Second
	fetchesMost  = 4
	checkRate    = 20_000 // packets authenticated a second
)

// Registry is the LAN as a registry. Make it with [New]; its methods may be called from any
// goroutine.
type Registry struct {
	cfg       Config
	publisher *registrar.Publisher
	registrar *registrar.Registrar
	kick      chan struct{} // holds a token when there are packets or lists to carry out

	mu           sync.Mutex
	core         *core
	checks       bucket
	dedup        dedup
	warnings     warnLimit
	links        map[int]*link // by interface index
	perLink      map[int]*InterfaceStats
	fetching     int
	loopbackOnly bool // without a key only the loopback interface is used
	keyAwaited   bool // loopback only, and the key may come soon

	unmuted chan struct{} // closed when packets are sealed: see awaitKeys
}

var (
	_ registry.Registry = (*Registry)(nil)
)

// New checks the configuration without I/O.
func New(cfg Config) (*Registry, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	var seed [32]byte
	crand.Read(seed[:])
	ring, _ := usableKeys(cfg.Keys()) // packets before the first scan are sealed by them as well
	r := &Registry{
		cfg:          cfg,
		publisher:    registrar.NewPublisher(Source, true),
		kick:         make(chan struct{}, 1),
		core:         newCore(cfg.Cluster, ring, cfg.Owner, cfg.Announce, rand.New(rand.NewChaCha8(seed))),
		checks:       newBucket(checkRate, checkRate/4),
		links:        map[int]*link{},
		perLink:      map[int]*InterfaceStats{},
		loopbackOnly: true,
		unmuted:      make(chan struct{}),
	}
	if r.core.muted = cfg.LateKeys != nil && len(ring) == 0 && !cfg.Open; !r.core.muted {
		close(r.unmuted)
	}
	r.core.refuse = func(now time.Time, reason error, from netip.AddrPort) {
		r.warn(now, reason, reason, registry.Owner{}, from)
	}
	r.core.fetchAddr = cfg.FetchAddr
	r.core.canFetch = cfg.Fetch != nil
	r.core.log = cfg.Logger
	r.core.nonce = secretNonce
	r.registrar = registrar.New(cfg.Owner, r)
	return r, nil
}

// secretNonce can't be guessed: an answer proves that the question has arrived.
func secretNonce() int64 {
	var b [8]byte
	crand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:]))
}

// Register is registry.Registry.Register: it returns when the first
// announcement has been sent.
func (r *Registry) Register(ctx context.Context, instances ...registry.Instance) error {
	return r.registrar.Register(ctx, instances...)
}

// Deregister is registry.Registry.Deregister: it returns when the first goodbye
// has been sent.
func (r *Registry) Deregister(ctx context.Context, ids ...registry.ID) error {
	return r.registrar.Deregister(ctx, ids...)
}

// Watch is registry.Registry.Watch. Without an answer, an empty list is shown after 250 ms.
func (r *Registry) Watch(service string, f func(registry.Snapshot)) (stop func()) {
	return r.publisher.Watch(service, f)
}

// Suspect reports an instance that may be dead, for package discovery. Its owner is probed at once,
// and dropped as Silent within a second when it does not answer.
func (r *Registry) Suspect(id registry.ID, why string) {
	r.cfg.Logger.Debug("LAN instance suspected", "instance", id.String(), "why", why)
	r.do(func(now time.Time) { r.core.suspect(now, id) })
}

// Apply is registrar.Writer.Apply, for the registry's own registrar.
func (r *Registry) Apply(_ context.Context, put []registry.Instance, drop []registry.ID) (err error) {
	r.do(func(now time.Time) {
		if r.core.muted {
			if len(put) > 0 { // a deregistration alone needs no announcement
				err = fmt.Errorf("%w: the key of the site is awaited", registry.ErrUnavailable)
			}
			return
		}
		if len(r.links) == 0 {
			err = fmt.Errorf("%w: %w", registry.ErrUnavailable, errNoInterface)
			return
		}
		if len(put) > 0 {
			r.core.put(now, put)
		}
		if len(drop) > 0 {
			r.core.drop(now, drop)
		}
	})
	return err
}

// do runs an event of the core and wakes the loop for its effects.
func (r *Registry) do(event func(now time.Time)) {
	r.mu.Lock()
	event(time.Now())
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Run is registry.Registry.Run. It returns no error.
func (r *Registry) Run(ctx context.Context) error {
	if r.cfg.Open && len(r.cfg.Keys()) == 0 {
		r.cfg.Logger.Warn("LAN packets are not authenticated: any host on the network can announce providers",
			"do", keyCommands(r.cfg.Cluster))
	}
	inner := run.NewGroup(context.WithoutCancel(ctx)) // outlives ctx by the time of the goodbyes
	r.do(r.core.restart)
	inner.Go(r.loop)
	inner.Go(r.keepSeeds)
	inner.Go(r.queryRemembered)
	inner.Go(r.savePeers)
	outer := run.NewGroup(ctx)
	outer.Go(r.registrar.Run)
	err := outer.Wait()
	r.sayGoodbye(inner.Context())
	return cmp.Or(inner.Stop(), err)
}

// sayGoodbye sends the goodbyes of the whole process and waits until they are sent.
func (r *Registry) sayGoodbye(ctx context.Context) {
	said := false
	r.do(func(now time.Time) {
		r.core.leave(now)
		said = r.core.muted // no process knows this one
	})
	if said {
		return
	}
	for range 2 * burst {
		_ = run.Sleep(ctx, goodbyeGap)
		if said {
			return // the probes after the last goodbye have been answered
		}
		r.mu.Lock()
		said = r.core.goodbyesLeft == 0
		r.mu.Unlock()
	}
}

// loop carries out the core's effects, one at a time.
func (r *Registry) loop(ctx context.Context) error {
	n := newNetwork(ctx, r)
	defer n.close()
	if err := r.awaitKeys(ctx, n); err != nil {
		return err
	}
	changed := r.keysChanged()
	r.rekey(n)
	n.scan(ctx)
	scan, confirm := time.NewTicker(scanEvery), time.NewTicker(confirmEvery)
	defer scan.Stop()
	defer confirm.Stop()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		alarm.Reset(r.carryOut(n))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.kick:
		case <-alarm.C:
		case <-r.publisher.Wants():
			services, all := r.publisher.Watched()
			r.do(func(now time.Time) { r.core.want(now, services, all) })
		case <-changed:
			changed = r.keysChanged()
			r.rekey(n)
			n.scan(ctx)
		case <-scan.C:
			r.rekey(n)
			n.scan(ctx)
		case <-confirm.C:
			if len(r.links) > 0 {
				r.publisher.Confirm()
			}
		}
	}
}

// publication is a list on its way to the publisher.
type publication struct {
	service string
	list    []registry.Instance
	gone    []registry.Departure
}

// carryOut sends, fetches and publishes the core's output, and returns the time until the core's
// next timer.
func (r *Registry) carryOut(n *network) time.Duration {
	r.mu.Lock()
	now := time.Now()
	r.core.wake(now)
	out, fetches := r.core.outbox, r.core.fetches
	r.core.outbox, r.core.fetches = nil, nil
	lists, confirm := r.takeChanged(), r.core.confirm
	r.core.confirm = false
	wait := time.Hour
	if at, ok := r.core.next(); ok {
		wait = max(0, time.Until(at))
	}
	r.mu.Unlock()
	for _, o := range out {
		n.send(o)
	}
	for _, f := range fetches {
		r.fetch(n, f)
	}
	for _, s := range lists {
		r.publisher.Publish(s.service, s.list, s.gone...)
	}
	if confirm {
		r.publisher.Confirm()
	}
	return wait
}

// takeChanged takes the changed lists out of the core. r.mu is held.
func (r *Registry) takeChanged() []publication {
	var out []publication
	for service, gone := range r.core.dirty {
		if service == registry.AllServices {
			continue
		}
		list := r.core.list(service)
		if !r.core.showable(service, list) {
			continue
		}
		out = append(out, publication{service, list, gone})
		delete(r.core.dirty, service)
	}
	for service := range r.core.dirty {
		if !r.core.wants(service) {
			delete(r.core.dirty, service)
		}
	}
	return out
}

// fetch fetches a long listing over TCP, a few at a time.
func (r *Registry) fetch(n *network, f fetchOrder) {
	r.mu.Lock()
	full := r.fetching >= fetchesMost
	if !full {
		r.fetching++
	}
	r.mu.Unlock()
	if full {
		r.do(func(now time.Time) { r.core.fetched(now, f, nil, errBusy) })
		return
	}
	n.group.Go(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		list, err := r.cfg.Fetch(ctx, f.addr, f.owner)
		r.do(func(now time.Time) {
			r.fetching--
			r.core.fetched(now, f, list, err)
		})
		return nil
	})
}
