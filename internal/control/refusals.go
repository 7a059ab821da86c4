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

// Refusals counts, by kind, the calls, connections and LAN packets that one
// process has refused since its start. Kinds with count 0 are absent.
type Refusals struct {
	Process     string           `json:"process"`
	Up          time.Duration    `json:"-"`
	Kinds       map[string]int64 `json:"refused"`
	Connections int64            `json:"connections"` // open now
	Members     int64            `json:"members"`     // of these, from processes of the site
	Handshakes  int64            `json:"handshakes"`  // under way

	// OtherKey holds the senders of LAN packets that do not prove the site's
	// key, heard within the last minutes. Their statements are unproved.
	OtherKey []broadcast.KeyHolder `json:"other_key,omitempty"`
}

// AllRefusals asks every other process of the site for its refusals. silent
// holds the error of each process that does not answer.
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
			continue // from another release of skerry, or from a process that lies
		}
		last := time.Now().Add(-time.Duration(k.AgeMs) * time.Millisecond)
		r.OtherKey = append(r.OtherKey, broadcast.KeyHolder{Host: k.Host, Addr: addr, Packets: uint64(k.Packets),
			Last: last})
	}
	return r
}

// otherKeyMost bounds the key holders read from another process.
const otherKeyMost = 64
