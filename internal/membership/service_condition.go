package membership

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/wire"
)

const (
	conditionKept = time.Second // for which an answer serves everything that asks for it
	lostText      = 300         // bytes of why a registry can't be reached
)

// conditionAnswer keeps the last answer.
type conditionAnswer struct {
	mu   sync.Mutex
	at   time.Time
	last *wire.Condition
}

// Condition tells the clock, the memory and the registries of this process. Nothing of it is measured before a caller
// asks.
func (s *Service) Condition(context.Context) (*wire.Condition, error) {
	k := &s.condition
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.last == nil || now.Sub(k.at) >= conditionKept {
		k.last, k.at = &wire.Condition{Sources: s.m.sourceStates(now)}, now
		if n := residentMemory(); n > 0 {
			k.last.Memory = &n
		}
	}
	c := *k.last
	c.ClockUs = time.Now().UnixMicro() // of this answer
	return &c, nil
}

// sourceStates are the registries of the process, in the order of its sources.
func (m *Membership) sourceStates(now time.Time) []*wire.SourceState {
	list := []*wire.SourceState{}
	for _, src := range m.sources {
		st := &wire.SourceState{Name: src.Name}
		others, lost, shown := m.list.of(src.Name, m.cfg.Owner)
		st.Others = int64(others)
		switch {
		case lost != nil:
			text := strings.ToValidUTF8(lost.Error()[:min(len(lost.Error()), lostText)], "")
			st.Lost = &text
		case !shown:
			st.Lost = new("it has shown no list yet")
		}
		if lan, ok := src.Registry.(*broadcast.Registry); ok {
			heard, n := time.Time{}, 0
			for _, p := range lan.Peers() {
				n++
				if p.Heard.After(heard) {
					heard = p.Heard
				}
			}
			if st.Others = int64(n); n > 0 {
				st.HeardMs = new(max(0, now.Sub(heard).Milliseconds()))
			}
		}
		list = append(list, st)
	}
	return list
}
