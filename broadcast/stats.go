package broadcast

import (
	"net/netip"
	"time"
)

// Stats counts datagrams since the start. What is not Own, Duplicate or
// Unwanted among the ignored deserves a look.
type Stats struct {
	Sent       uint64 // datagrams given to the network
	SendFailed uint64 // refused by it
	Unsendable uint64 // too large, which the packing rules out
	Received   uint64 // all that arrived, as counted before any check

	Own       uint64 // ignored: our own, heard by ourselves
	Duplicate uint64 // ignored: came another way a moment ago
	Unwanted  uint64 // ignored: announces nothing that is watched here
	Elsewhere uint64 // ignored: arrived on an interface that was not chosen
	Malformed uint64 // ignored: not a packet of skerry, or nonsense within
	Version   uint64 // ignored: a packet version that this release does not know
	Foreign   uint64 // ignored: another cluster
	WrongKey  uint64 // ignored: MAC does not fit
	Old       uint64 // ignored: of a process of skerry before 0.2
	Replay    uint64 // ignored: sequence number seen before
	Sequence  uint64 // ignored: sequence number out of bounds, or so far ahead that its sender was asked first
	OwnName   uint64 // ignored: sent by another process in the name of this one
	Unproven  uint64 // announced itself and did not answer a probe: a recording, or unreachable
	Rate      uint64 // over a limit: of packets checked, answers or probes a second
	Full      uint64 // over the number of peers remembered, of one address or in all
	Cut       uint64 // answers cut to three times their question, as its address had not answered yet

	FalseGoodbye uint64 // goodbyes in the name of a process that stays
	FetchFailed  uint64 // listings too long for a datagram that TCP did not bring
	Undelivered  uint64 // peers that are not asked for such listings for ten minutes, as nothing brought them

	OtherKey []KeyHolder // processes whose packets do not prove the key, heard within 5/4 periods of announcements; at most 64

	Interfaces []InterfaceStats
}

// InterfaceStats is what one chosen interface sent and heard.
type InterfaceStats struct {
	Name        string
	Addr        netip.Addr // address that packets are sent from
	Sent        uint64     // datagrams
	SendFailed  uint64
	HeardOwn    uint64 // our own broadcasts, which proves that this host lets them out and in
	HeardGroup  uint64 // broadcasts and multicasts of others of this cluster
	HeardDirect uint64 // unicast of others of this cluster
	LastError   string // of the latest failed send
}

// warner says when a warning is due: the first of a reason and source at
// once, then at most one in a while, and few sources altogether.
type warnLimit struct {
	last map[warning]time.Time
}

type warning struct {
	reason error
	source netip.Addr
}

const (
	warnEvery   = 10 * time.Minute
	maxWarnings = 32
)

func (w *warnLimit) due(now time.Time, reason error, source netip.Addr) bool {
	if w.last == nil {
		w.last = map[warning]time.Time{}
	}
	key := warning{reason, source}
	if at, ok := w.last[key]; ok && now.Sub(at) < warnEvery {
		return false
	}
	if len(w.last) >= maxWarnings {
		for k, at := range w.last {
			if now.Sub(at) >= warnEvery {
				delete(w.last, k)
			}
		}
		if len(w.last) >= maxWarnings {
			return false
		}
	}
	w.last[key] = now
	return true
}
