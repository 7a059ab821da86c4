package operator

import (
	"context"
	"slices"
	"sync"

	"github.com/skerry/skerry/internal/rollout"
)

// Memory is a Store for tests, and the reference for other stores. The zero
// value is an empty log.
type Memory struct {
	mu      sync.Mutex
	log     rollout.Log
	entries []rollout.Entry
}

// Since implements Store.
func (m *Memory) Since(_ context.Context, after rollout.Generation) ([]rollout.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.entries, func(e rollout.Entry) bool { return after.Before(e.Generation) })
	if i < 0 {
		return nil, nil
	}
	return slices.Clone(m.entries[i:]), nil
}

// Append implements Store.
func (m *Memory) Append(_ context.Context, e rollout.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next, err := m.log.Apply(e)
	if err != nil {
		return err
	}
	if next.Last() != m.log.Last() {
		m.log, m.entries = *next, append(m.entries, e)
	}
	return nil
}

// Adopt implements Store.
func (m *Memory) Adopt(_ context.Context, whole []rollout.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := rollout.Continues(m.entries, whole); err != nil {
		return err
	}
	log, err := rollout.Replay(whole)
	if err != nil {
		return err
	}
	m.log, m.entries = *log, slices.Clone(whole)
	return nil
}
