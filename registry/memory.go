package registry

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// Memory is the registry of one owner in a [Hub]: the reference that the other
// registries are measured by, and what tests of consumers use.
type Memory struct {
	hub       *Hub
	owner     Owner
	board     *Board
	registrar *Registrar
	kick      chan struct{} // holds a token when the hub has changed

	mu  sync.Mutex
	cut error
}

var _ Registry = (*Memory)(nil)

// NewMemory returns the owner's registry in the hub. A nil hub gives it one of
// its own.
func NewMemory(hub *Hub, owner Owner) *Memory {
	if hub == nil {
		hub = &Hub{}
	}
	m := &Memory{hub: hub, owner: owner, board: NewBoard("memory", false), kick: make(chan struct{}, 1)}
	m.registrar = NewRegistrar(owner, m)
	hub.join(m)
	return m
}

// Fail makes this registry fail with err while the others of its hub go on, as
// for a process that is cut off; nil ends it. Fail followed by the end of
// Run's context is a kill -9: nothing is withdrawn.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	m.cut = err
	m.mu.Unlock()
	m.hub.tell()
}

func (m *Memory) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut != nil {
		return unavailable(m.cut)
	}
	return nil
}

// Register is Registry.Register.
func (m *Memory) Register(ctx context.Context, instances ...Instance) error {
	return m.registrar.Register(ctx, instances...)
}

// Withdraw is Registry.Withdraw.
func (m *Memory) Withdraw(ctx context.Context, ids ...ID) error {
	return m.registrar.Withdraw(ctx, ids...)
}

// Watch is Registry.Watch.
func (m *Memory) Watch(service string, f func(Snapshot)) (stop func()) {
	return m.board.Watch(service, f)
}

// List is Lister.List, for the registry's own registrar.
func (m *Memory) List(_ context.Context, put []Instance, drop []ID) error {
	if err := m.failure(); err != nil {
		return err
	}
	return m.hub.list(m.owner, put, drop)
}

// Run is Registry.Run.
func (m *Memory) Run(ctx context.Context) error {
	g := run.NewGroup(ctx)
	g.Go(m.registrar.Run)
	g.Go(func(ctx context.Context) error {
		beat := time.NewTicker(m.hub.heartbeat())
		defer beat.Stop()
		for {
			m.refresh()
			select {
			case <-ctx.Done():
				return nil
			case <-m.kick:
			case <-m.board.Wants():
			case <-beat.C:
			}
		}
	})
	return g.Wait()
}

// refresh renews the lease and reads the hub.
func (m *Memory) refresh() {
	err := m.failure()
	if err == nil {
		err = m.exchange()
	}
	if err != nil {
		m.board.Lose(err)
	}
}

func (m *Memory) exchange() error {
	leased, err := m.hub.beat(m.owner)
	if err != nil {
		return err
	}
	if wished, settled := m.registrar.Settled(); !settled {
		m.registrar.Retry()
	} else if wished > 0 && !leased {
		m.registrar.Refresh()
	}
	listed, gone, err := m.hub.read()
	if err != nil {
		return err
	}
	m.publish(listed, gone)
	return nil
}

func (m *Memory) publish(listed map[ID]Instance, gone map[ID]Departure) {
	services, all := m.board.Watched()
	lists := map[string][]Instance{}
	left := map[string][]Departure{}
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
		m.board.Publish(s, list, left[s]...)
	}
	if all {
		m.board.Publish(AllServices, nil)
	}
	m.board.Confirm()
}
