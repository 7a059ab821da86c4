package control

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// Refusals is what one process has refused since its start: calls, connections
// and LAN packets of others, by kind. Kinds that have not happened are absent.
type Refusals struct {
	Process     string           `json:"process"`
	Up          time.Duration    `json:"-"`
	Kinds       map[string]int64 `json:"refused"`
	Connections int64            `json:"connections"` // that stand
	Members     int64            `json:"members"`     // of those, from processes of the site
	Handshakes  int64            `json:"handshakes"`  // that are not over

	// OtherKey are processes with LAN packets that do not prove the site's key, heard
	// within the last minutes. What they say of themselves is not proved.
	OtherKey []broadcast.KeyHolder `json:"other_key,omitempty"`
}

// AllRefusals asks every other process of the site what it has refused; silent
// says of those that did not tell why.
func AllRefusals(ctx context.Context, n *skerry.Node) (list []Refusals, silent map[string]error, err error) {
	silent = map[string]error{}
	var mu sync.Mutex
	err = askMembers(ctx, n, func(ctx context.Context, p *membership.Peer) {
		w, err := p.Client().Refusals(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			silent[p.Owner.String()] = err
			return
		}
		list = append(list, refusalsOf(p.Owner.String(), w))
	})
	slices.SortFunc(list, func(a, b Refusals) int { return cmp.Compare(a.Process, b.Process) })
	return list, silent, err
}

func refusalsOf(process string, w *wire.Refusals) Refusals {
	r := Refusals{Process: process, Up: time.Duration(w.UptimeMs) * time.Millisecond, Kinds: w.Kinds,
		Connections: w.GetConnections(), Members: w.GetMembers(), Handshakes: w.GetHandshakes()}
	for _, k := range w.OtherKey[:min(len(w.OtherKey), otherKeyMost)] {
		addr, err := netip.ParseAddr(k.Addr)
		if err != nil || len(k.Host) > registry.MaxName {
			continue // of another release, or a process that lies
		}
		last := time.Now().Add(-time.Duration(k.AgeMs) * time.Millisecond)
		r.OtherKey = append(r.OtherKey, broadcast.KeyHolder{Host: k.Host, Addr: addr, Packets: uint64(k.Packets),
			Last: last})
	}
	return r
}

// otherKeyMost bounds what is taken from another process.
const otherKeyMost = 64
