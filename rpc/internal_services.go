package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// Limits of internal services, beside those of users' calls.
const (
	internalCalls    = 64      // at a time
	internalOutside  = 16      // at a time, of all peers that are not members
	internalOfOne    = 4       // at a time, of one process or address
	internalRequest  = 1 << 20 // bytes of one request
	logInternalEvery = time.Minute
)

var (
	errNoMember = errors.New(
		"it takes a site connection: call it from a process that holds the site's key (\"skerry key set\" on its host)",
	)
	errNoKey = errors.New(
		"it takes a site connection, and the called process has no site key to take one by " +
			"(\"skerry key set\" on its host)",
	)
)

// HandleInternal serves one of the framework's own services. Its methods are for members of the
// site (PeerInfo.Member); those in open are for all peers. A call without the right is refused as
// NotMember before its arguments are read. At most 64 calls of internal services run at a time, 4
// of one peer. They do not count in MaxCalls.
func (s *Server) HandleInternal(
	service, version string,
	p thrift.TProcessor,
	open ...string,
) (remove func(), err error) {
	return s.handle(&served{name: service, version: version, processor: p, internal: true, open: open})
}

// member returns why a peer is not a member of the site, nil when it is one.
func (s *Server) member(p PeerInfo) error {
	switch {
	case p.Site:
		return nil
	case s.cfg.Member != nil:
		return s.cfg.Member(p)
	case s.cfg.Site == nil:
		return errNoKey
	}
	return errNoMember
}

// oldMethods are methods of internal services that processes before 0.2 call.
var oldMethods = []string{"rulesSince", "learnRules"}

var errOlder = errors.New("a process of skerry before 0.2, which this one does not obey: upgrade that process")

// refuseOlder refuses a call of a process before 0.2, which shares nothing with this release.
func (r *serverCall) refuseOlder(why error) error {
	s := r.conn.s
	s.older.Add(1)
	if ok, unreported := s.olderLog.allow(time.Now(), "", r.conn.source); ok {
		s.log.Warn(
			"rpc: a call of a process of skerry before 0.2 was refused",
			"service", r.served.name, "method", r.info.Method, "peer", r.conn.peer, "reason", why,
			"do",
			"upgrade skerry in that process; until then calls of traces between the two are refused, "+
				"and neither learns the releases of the other",
			"unreported", unreported,
		)
	}
	return why
}

// admitInternal admits a call of an internal service, or refuses it.
func (r *serverCall) admitInternal() {
	c, s := r.conn, r.conn.s
	if code, err := r.barredInternal(); err != nil {
		r.refuse(code, err)
		return
	}
	if err := s.internal.acquire(r.internalKey(), r.info.outside); err != nil {
		r.refuse(Overloaded, err)
		return
	}
	r.internal = true
	r.counted = c.count(countKey{r.served, r.kind, r.info.Caller})
	s.running.Add(1)
	if code, err := r.register(); err != nil {
		r.refuseAdmitted(code, err)
		return
	}
	if r.info.OneWay && c.dialect.header && r.unordered {
		r.answer(nil, 0, MaybeExecuted) // accepted
	}
	if !c.workers.group.Go(func(context.Context) error { r.run(); return nil }) {
		r.refuseAdmitted(Draining, errServerStopped)
	}
}

// barredInternal returns why the peer may not make the call of an internal service.
func (r *serverCall) barredInternal() (Code, error) {
	s, called := r.conn.s, r.served.name+"."+r.info.Method
	if slices.Contains(oldMethods, r.info.Method) {
		return NotMember, fmt.Errorf("%s is called by %w", called, r.refuseOlder(errOlder))
	}
	outside := s.member(*r.info.from)
	if outside != nil && !slices.Contains(r.served.open, r.info.Method) {
		r.logOutsider(outside)
		return NotMember, fmt.Errorf("%s is for processes of the site: %w", called, outside)
	}
	if n := len(r.payload); n > internalRequest {
		return TooLarge, fmt.Errorf("%s was called with %d bytes, the limit is %d", called, n, internalRequest)
	}
	r.info.outside = outside != nil
	return Unknown, nil
}

// logOutsider counts and logs a call for members by another peer.
func (r *serverCall) logOutsider(why error) {
	s := r.conn.s
	s.outsiders.Add(1)
	ok, unreported := s.memberLog.allow(time.Now(), "", r.conn.source)
	if !ok {
		return
	}
	s.log.Warn("rpc: a call that is for members of the site was refused",
		"service", r.served.name, "method", r.info.Method, "peer", r.conn.peer, "reason", why, "unreported", unreported)
}

// internalKey identifies a peer: its process if that is proven, else a member's connection, else
// the address of a stranger.
type internalKey struct {
	owner string
	addr  netip.AddrPort
}

func (r *serverCall) internalKey() internalKey {
	switch p := r.info.from; {
	case p.Owner != "":
		return internalKey{owner: p.Owner}
	case !r.info.outside:
		return internalKey{addr: p.Addr}
	default:
		return internalKey{addr: netip.AddrPortFrom(sourceOf(p.Addr.Addr()), 0)}
	}
}

// internalLimit bounds the calls of internal services.
type internalLimit struct {
	mu      sync.Mutex
	all     int
	outside int
	of      map[internalKey]int
}

func (m *internalLimit) acquire(k internalKey, outside bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.of[k] >= internalOfOne:
		return fmt.Errorf(
			"%d internal calls of %s are running here, the limit of one peer",
			internalOfOne,
			cmp.Or(k.owner, k.addr.Addr().String()),
		)
	case m.all >= internalCalls:
		return fmt.Errorf("%d internal calls are running here, the limit", internalCalls)
	case outside && m.outside >= internalOutside:
		return fmt.Errorf(
			"%d internal calls of processes outside the site are running here, the limit",
			internalOutside,
		)
	}
	if m.of == nil {
		m.of = map[internalKey]int{}
	}
	m.of[k]++
	m.all++
	if outside {
		m.outside++
	}
	return nil
}

// running returns the number of calls under way.
func (m *internalLimit) running() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(m.all)
}

func (m *internalLimit) release(k internalKey, outside bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of[k]--; m.of[k] == 0 {
		delete(m.of, k)
	}
	m.all--
	if outside {
		m.outside--
	}
}
