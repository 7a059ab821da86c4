package skerry

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/refusal"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
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

	// OtherKey are processes whose LAN packets do not prove the site's key, heard
	// within the last minutes. What they say of themselves is not proved.
	OtherKey []broadcast.KeyHolder `json:"other_key,omitempty"`
}

// Refusals asks every process of the site what it has refused; silent says of
// the others why they did not tell.
func (n *Node) Refusals(ctx context.Context) (list []Refusals, silent map[string]error, err error) {
	silent = map[string]error{}
	var mu sync.Mutex
	err = n.askMembers(ctx, func(ctx context.Context, process string, p *peer) {
		w, err := p.client().Refusals(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			silent[process] = err
			return
		}
		list = append(list, refusalsOf(process, w))
	})
	if !n.opts.guest {
		list = append(list, refusalsOf(n.owner.String(), n.internal.refusals()))
	}
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
		r.OtherKey = append(r.OtherKey, broadcast.KeyHolder{Host: k.Host, Addr: addr, Packets: uint64(k.Packets), Last: last})
	}
	return r
}

// otherKeyMost bounds what is taken from another process.
const otherKeyMost = 64

// otherKey tells of the hosts that use another key.
func otherKey(list []broadcast.KeyHolder) (out []*wire.KeyHolder) {
	for _, k := range list {
		out = append(out, &wire.KeyHolder{Host: k.Host, Addr: k.Addr.String(), Packets: int64(k.Packets),
			AgeMs: time.Since(k.Last).Milliseconds()})
	}
	return out
}

// askMembers asks every other process of the site that is listed, all at once.
func (n *Node) askMembers(ctx context.Context, ask func(ctx context.Context, process string, p *peer)) error {
	site := &site{n: n, begun: time.Now(), was: map[string]string{}, looked: map[string]time.Time{}}
	members, err := site.Members(ctx)
	if err != nil {
		return err
	}
	g := run.NewGroup(ctx)
	for _, m := range members {
		if m.Process == n.owner.String() {
			continue
		}
		g.Go(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, peerLimit)
			defer cancel()
			ask(ctx, m.Process, m.Peer.(*peer))
			return nil
		})
	}
	_ = g.Wait()
	return nil
}

// Refusals tells what this process has refused.
func (s *internalService) Refusals(context.Context) (*wire.Refusals, error) { return s.refusals(), nil }

func (s *internalService) refusals() *wire.Refusals {
	stats := s.node.offers.server.Stats()
	if s.node.cfg.Site.Calls != config.CallsSealed {
		stats.InClear = 0 // they were taken
	}
	w := &wire.Refusals{UptimeMs: time.Since(s.started).Milliseconds(), Kinds: refusedCalls(stats),
		Connections: new(int64(stats.Connections)), Members: new(int64(stats.Members)), Handshakes: new(int64(stats.Handshakes))}
	for _, source := range s.node.sources {
		if lan, ok := source.Registry.(*broadcast.Registry); ok {
			stats := lan.Stats()
			maps.Copy(w.Kinds, refusedPackets(stats))
			w.OtherKey = append(w.OtherKey, otherKey(stats.OtherKey)...)
		}
	}
	maps.Copy(w.Kinds, s.node.denials.counts())
	maps.DeleteFunc(w.Kinds, func(_ string, n int64) bool { return n == 0 })
	return w
}

func refusedCalls(s rpc.ServerStats) map[string]int64 {
	return map[string]int64{
		refusal.Outsiders:   s.Outsiders,
		refusal.InTheClear:  s.InClear,
		refusal.Handshakes:  s.BadShakes,
		refusal.MadeRoom:    s.MadeRoom,
		refusal.Connections: max(0, s.BadPeers-s.BadShakes-s.MadeRoom),
		refusal.Older:       s.Older,
	}
}

func refusedPackets(s broadcast.Stats) map[string]int64 {
	return map[string]int64{
		refusal.LANKey:        int64(s.WrongKey),
		refusal.LANOwnName:    int64(s.OwnName),
		refusal.LANGoodbye:    int64(s.FalseGoodbye),
		refusal.LANReplay:     int64(s.Replay),
		refusal.LANSequence:   int64(s.Sequence),
		refusal.LANFull:       int64(s.Full),
		refusal.LANRate:       int64(s.Rate),
		refusal.LANUnproven:   int64(s.Unproven),
		refusal.LANForeign:    int64(s.Foreign),
		refusal.LANMalformed:  int64(s.Malformed),
		refusal.LANVersion:    int64(s.Version),
		refusal.LANOld:        int64(s.Old),
		refusal.LANElsewhere:  int64(s.Elsewhere),
		refusal.LANCut:        int64(s.Cut),
		refusal.LANNotFetched: int64(s.FetchFailed),
	}
}

// counts are the denials by kind.
func (r *denials) counts() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int64{}
	for what, n := range r.count {
		out[refusal.DeniedPrefix+what] = n
	}
	return out
}
