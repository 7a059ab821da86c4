package registrytest

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/registrar"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Memory is the registry of one owner in a [MemoryStore]. It is the reference for the other
// registries, and tests of consumers use it.
type Memory struct {
	store     *MemoryStore
	owner     registry.Owner
	publisher *registrar.Publisher
	registrar *registrar.Registrar
	kick      run.Signal // the store has changed

	mu  sync.Mutex
	cut error
}

var _ registry.Registry = (*Memory)(nil)

// NewMemory returns the owner's registry in the store. With a nil store it makes its own store.
func NewMemory(store *MemoryStore, owner registry.Owner) *Memory {
	if store == nil {
		store = &MemoryStore{}
	}
	m := &Memory{store: store, owner: owner, publisher: registrar.NewPublisher("memory", false), kick: run.NewSignal()}
	m.registrar = registrar.New(owner, m)
	store.join(m)
	return m
}

// Fail makes this registry fail with err while the others of its store go on, as for a process that
// is cut off; nil ends it. Fail followed by the end of Run's context is a kill -9: nothing is
// withdrawn.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	m.cut = err
	m.mu.Unlock()
	m.store.tell()
}

func (m *Memory) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut != nil {
		return unavailable(m.cut)
	}
	return nil
}

// Register implements registry.Registry.
func (m *Memory) Register(ctx context.Context, instances ...registry.Instance) error {
	return m.registrar.Register(ctx, instances...)
}

// Deregister implements registry.Registry.
func (m *Memory) Deregister(ctx context.Context, ids ...registry.ID) error {
	return m.registrar.Deregister(ctx, ids...)
}

// Watch implements registry.Registry.
func (m *Memory) Watch(service string, f func(registry.Snapshot)) (stop func()) {
	return m.publisher.Watch(service, f)
}

// Apply implements registrar.Writer, for the registry's own registrar.
func (m *Memory) Apply(_ context.Context, put []registry.Instance, drop []registry.ID) error {
	if err := m.failure(); err != nil {
		return err
	}
	return m.store.list(m.owner, put, drop)
}

// Run implements registry.Registry.
func (m *Memory) Run(ctx context.Context) error {
	g := run.NewGroup(ctx)
	g.Go(m.registrar.Run)
	g.Go(func(ctx context.Context) error {
		beat := time.NewTicker(m.store.heartbeat())
		defer beat.Stop()
		for {
			m.refresh()
			select {
			case <-ctx.Done():
				return nil
			case <-m.kick:
			case <-m.publisher.Wants():
			case <-beat.C:
			}
		}
	})
	return g.Wait()
}

// refresh renews the lease and reads the store.
func (m *Memory) refresh() {
	err := m.failure()
	if err == nil {
		err = m.exchange()
	}
	if err != nil {
		m.publisher.Lose(err)
	}
}

func (m *Memory) exchange() error {
	leased, err := m.store.beat(m.owner)
	if err != nil {
		return err
	}
	if wished, settled := m.registrar.Settled(); !settled {
		m.registrar.Retry()
	} else if wished > 0 && !leased {
		m.registrar.Refresh()
	}
	listed, gone, err := m.store.read()
	if err != nil {
		return err
	}
	m.publish(listed, gone)
	return nil
}

func (m *Memory) publish(listed map[registry.ID]registry.Instance, gone map[registry.ID]registry.Departure) {
	services, all := m.publisher.Watched()
	lists := map[string][]registry.Instance{}
	left := map[string][]registry.Departure{}
	for _, s := range services {
		lists[s] = nil
	}
	wanted := func(service string) bool {
		list, ok := lists[service]
		if all && !ok {
			lists[service] = list
		}
		return ok || all
	}
	for id, in := range listed {
		if wanted(id.Service) {
			lists[id.Service] = append(lists[id.Service], in)
		}
	}
	for id, d := range gone {
		if wanted(id.Service) {
			left[id.Service] = append(left[id.Service], d)
		}
	}
	for s, list := range lists {
		m.publisher.Publish(s, list, left[s]...)
	}
	if all {
		m.publisher.Publish(registry.AllServices, nil)
	}
	m.publisher.Confirm()
}
