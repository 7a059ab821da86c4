package broadcast

import (
	"net/netip"
	"time"

	"github.com/skerry/skerry/registry"
)

// Stats counts datagrams since the start. Ignored ones other than Own, Duplicate and Unwanted may
// need an operator.
type Stats struct {
	Sent       uint64 // datagrams given to the network
	SendFailed uint64 // refused by it
	Unsendable uint64 // too large, which the packing rules out
	Received   uint64 // all that arrived, before any check

	Own       uint64 // ignored: sent by this process
	Duplicate uint64 // ignored: came another way a moment ago
	Unwanted  uint64 // ignored: announces nothing that is watched here
	Elsewhere uint64 // ignored: arrived on an interface that was not chosen
	Malformed uint64 // ignored: not a packet of skerry, or with invalid content
	Version   uint64 // ignored: a packet version that this release does not know
	Foreign   uint64 // ignored: another cluster
	WrongKey  uint64 // ignored: MAC does not fit
	Keyless   uint64 // ignored: of a process of this host that has no key of the site
	Old       uint64 // ignored: of a process of skerry before 0.2
	Replay    uint64 // ignored: sequence number seen before
	Sequence  uint64 // ignored: sequence number out of bounds, or so far ahead that its sender was probed first
	OwnName   uint64 // ignored: sent by another process in the name of this one
	Unproven  uint64 // announced itself and did not answer a probe: a recording, or unreachable
	Rate      uint64 // over a limit: of packets checked, answers or probes a second
	Full      uint64 // over the number of peers remembered, of one address or in all
	Cut       uint64 // answers cut to three times their query, because the address had not answered yet

	FalseGoodbye uint64 // goodbyes in the name of a process that stays
	FetchFailed  uint64 // long listings that TCP did not bring
	Undelivered  uint64 // peers without delivery of such listings, which get no requests for ten minutes

	// OtherKey are the hosts that send packets under another key and were heard within 5/4 periods
	// of announcements; at most 64.
	OtherKey []KeyHolder

	Interfaces []InterfaceStats
}

// InterfaceStats counts the packets of one chosen interface.
type InterfaceStats struct {
	Name        string
	Addr        netip.Addr // address that packets are sent from
	Sent        uint64     // datagrams
	SendFailed  uint64
	HeardOwn    uint64 // broadcasts of this process, which prove that this host lets them out and in
	HeardGroup  uint64 // broadcasts and multicasts of others of this cluster
	HeardDirect uint64 // unicast of others of this cluster
	LastError   string // of the latest failed send
}

// warnLimit decides when a warning is due: the first one of a reason and host at once, then at a
// bounded rate, and few in a minute altogether. A host is identified by its addresses and by the
// processes that its packets name as senders, so one that has several of both is named once.
//
// A link-local IPv6 address tells an operator nothing, and its packet mostly comes first. The host's
// first warning waits for the copy from another address, or for a packet a second later.
type warnLimit struct {
	known map[warnKey]time.Time // when the host was last named
	rate  bucket                // of hosts that are named
	held  map[warnKey]time.Time // first warnings that wait, and since when
}

// warnKey is an address or a process of a host, with the reason of a warning.
type warnKey struct {
	reason error
	addr   netip.Addr
	sender registry.Owner
}

const (
	warnEvery   = 10 * time.Minute
	maxWarnings = 64       // hosts named at once
	warnRate    = 1. / 15  // hosts named in a second after that
	warnMemory  = 16 << 10 // addresses and processes remembered

	warnHold = time.Second // how long a warning waits for a better address
	maxHeld  = 1 << 10     // warnings that wait
)

// due reports whether the host at addr is to be named now. sender is the process
// that the packet names; the zero value is none.
func (w *warnLimit) due(now time.Time, reason error, sender registry.Owner, addr netip.Addr) bool {
	if w.known == nil {
		w.known = map[warnKey]time.Time{}
		w.rate = newBucket(warnRate, maxWarnings)
	}
	keys := []warnKey{{reason: reason, addr: addr}}
	if sender.Host != "" {
		keys = append(keys, warnKey{reason: reason, sender: sender})
	}
	var last time.Time
	for _, k := range keys {
		if at := w.known[k]; at.After(last) {
			last = at
		}
	}
	named := !last.IsZero() && now.Sub(last) < warnEvery
	if !named && addr.Is6() && addr.IsLinkLocalUnicast() && w.hold(now, keys[len(keys)-1]) {
		return false
	}
	switch {
	case named && len(w.known) >= warnMemory/2: // made-up processes of one address leave room for others
		return false
	case named:
	case !w.room(now) || !w.rate.take(now):
		return false
	default:
		last = now
	}
	for _, k := range keys {
		w.known[k] = last
	}
	return !named
}

// hold reports whether the warning of a link-local address is still to wait.
func (w *warnLimit) hold(now time.Time, k warnKey) bool {
	since, waits := w.held[k]
	if waits && now.Sub(since) >= warnHold {
		delete(w.held, k)
		return false
	}
	if waits {
		return true
	}
	for k, since := range w.held {
		if now.Sub(since) >= warnEvery {
			delete(w.held, k)
		}
	}
	if len(w.held) >= maxHeld {
		return false
	}
	if w.held == nil {
		w.held = map[warnKey]time.Time{}
	}
	w.held[k] = now
	return true
}

// room reports whether another host can be remembered, and forgets those that were named long ago
// if necessary.
func (w *warnLimit) room(now time.Time) bool {
	if len(w.known) >= warnMemory/2 {
		for k, at := range w.known {
			if now.Sub(at) >= warnEvery {
				delete(w.known, k)
			}
		}
	}
	return len(w.known) < warnMemory
}
