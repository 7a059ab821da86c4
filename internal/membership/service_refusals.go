package membership

import (
	"context"
	"maps"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/refusal"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// Refusals tells what this process has refused.
func (s *Service) Refusals(context.Context) (*wire.Refusals, error) {
	stats := s.cfg.Answered()
	w := &wire.Refusals{
		UptimeMs:    time.Since(s.started).Milliseconds(),
		Kinds:       refusedCalls(stats),
		Connections: new(int64(stats.Connections)),
		Members:     new(int64(stats.Members)),
		Handshakes:  new(int64(stats.Handshakes)),
	}
	for _, source := range s.m.sources {
		if lan, ok := source.Registry.(*broadcast.Registry); ok {
			stats := lan.Stats()
			maps.Copy(w.Kinds, refusedPackets(stats))
			w.OtherKey = append(w.OtherKey, otherKey(stats.OtherKey)...)
		}
	}
	maps.Copy(w.Kinds, s.m.denials.counts())
	maps.DeleteFunc(w.Kinds, func(_ string, n int64) bool { return n == 0 })
	return w, nil
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
		refusal.LANKeyless:    int64(s.Keyless),
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

// otherKey tells of the hosts that use another key.
func otherKey(list []broadcast.KeyHolder) (out []*wire.KeyHolder) {
	for _, k := range list {
		out = append(out, &wire.KeyHolder{Host: k.Host, Addr: k.Addr.String(), Packets: int64(k.Packets),
			AgeMs: time.Since(k.Last).Milliseconds()})
	}
	return out
}
