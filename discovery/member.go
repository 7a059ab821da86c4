package discovery

import (
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// member is one instance of a service as this process knows it. The service's mutex guards the
// fields without a remark.
type member struct {
	ep    *rpc.Endpoint      // never changes; its ID is that of the instance
	epoch int64              // never changes; epoch of the instance's owner
	in    *registry.Instance // description by the first source that lists it; a part of that source's list

	listed  []listing  // by source
	leaving bool       // a source says that it is stopping
	drained bool       // the newest order of an operator; drain.MarkOf(in.Tags) has the rest
	buried  *tombstone // not nil: it has left, though a source still lists it
	away    string     // reason for which its address is valid on another host only; "" = it is valid here
	heir    *member    // not nil: a later process that has its address
	guard   *guard     // not nil: no source lists it; kept while it is probed or has answered
	cond    condition
	question

	shown     State   // as last published
	recovered bool    // the last publishing ended a suspicion or an ejection
	weighed           // by the policy of the site
	slot      uint32  // in the hash ring, 0 = none
	points    int32   // on the hash ring
	pull      float32 // of each of them

	timeouts atomic.Int32  // in a row, counted by Report
	troubled atomic.Bool   // suspect or ejected: a reply is news
	shaky    atomic.Bool   // suspect, ejected or leaving; set before the next view is published
	tier     atomic.Uint32 // as last published, for the ring
}

// listing is the word of one source; in is nil when it does not list the member.
type listing struct {
	in    *registry.Instance
	since int64 // microseconds since 1970
}

// tombstone is a departure that a source has reported.
type tombstone struct {
	source string
	kind   registry.DepartureKind
	when   time.Time
}

// guard is the protection of a member that vanished among many.
type guard struct {
	why       string
	since     time.Time
	until     time.Time
	confirmed bool // it has answered
}

// question is the state of the probes of one member by Config.Probe.
type question struct {
	askAt  time.Time // time of the next probe; zero: none
	asking bool      // a probe is running
	tries  int32     // unanswered in a row
	pause  run.Backoff
}

// ask plans a probe at a time, or keeps an earlier plan.
func (q *question) ask(at time.Time) {
	if q.askAt.IsZero() || at.Before(q.askAt) {
		q.askAt = at
	}
}

func (q *question) reset() {
	q.askAt, q.tries = time.Time{}, 0
	q.pause = run.Backoff{Min: askFirst, Max: askLast}
}

func newMember(in registry.Instance, sources int, sealed bool) *member {
	id := in.ID()
	m := &member{epoch: id.Epoch, in: &in, listed: make([]listing, sources)}
	m.ep = &rpc.Endpoint{
		ID: id.String(), Service: in.Service, Version: in.Version, Addr: id.Addr,
		Protocol: string(in.Protocol), TLS: in.TLS, Prefix: in.Prefix(), Concurrency: in.Concurrency(),
	}
	if (in.Protocol == "" || in.Protocol == registry.ProtocolSkerry) && in.Owner != (registry.Owner{}) {
		m.ep.Owner, m.ep.Site = in.Owner.String(), sealed
	} else if in.Owner != (registry.Owner{}) {
		m.ep.Announcer = in.Owner.String()
	}
	m.question.reset()
	return m
}

// foreign reports whether the instance's program is not skerry's. That such a program accepts a
// connection does not show that it is awake.
func (m *member) foreign() bool {
	return m.ep.Protocol != "" && m.ep.Protocol != string(registry.ProtocolSkerry)
}

func (m *member) id() registry.ID {
	return registry.ID{Service: m.ep.Service, Version: m.ep.Version, Addr: m.ep.Addr, Epoch: m.epoch}
}

// key is the member's key in the cache.
func (m *member) key() string { return m.ep.ID }

// sources counts the sources that list the member.
func (m *member) sources() (n int) {
	for i := range m.listed {
		if m.listed[i].in != nil {
			n++
		}
	}
	return n
}

// describe applies the description of the first source that has one, and reports whether it brings
// news. Any source may say that the member is stopping, because another source may have been lost
// before. For the same reason the source with the newest order of an operator precedes.
func (m *member) describe() (news bool) {
	was, first := m.leaving, (*registry.Instance)(nil)
	m.leaving, m.drained = false, false
	order := int64(0)
	for i := range m.listed {
		if in := m.listed[i].in; in != nil {
			m.leaving = m.leaving || in.Leaving
			d := drain.MarkOf(in.Tags)
			if first == nil || d.Order > order {
				first, order, m.drained = in, d.Order, d.On
			}
		}
	}
	if first != nil {
		news = !first.Equal(*m.in) || m.leaving != was
		m.in, m.known = first, false
		return news
	}
	m.drained = drain.MarkOf(m.in.Tags).On
	alone := *m.in // a copy, so that the member does not keep a list in memory
	m.in, m.known = &alone, false
	return false
}
