package skerry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// internalName is the framework's own service on every port (internal/wire/skerry.thrift).
const internalName = "skerry.internal"

// openMethods are those of the framework's own service that any caller may use.
var openMethods = []string{"ping", "bring", "whoAmI"}

// internalService tells other skerry processes about this one.
type internalService struct {
	node    *Node
	started time.Time
	sight   sight
}

var _ wire.Internal = (*internalService)(nil)

// WhoAmI says which process answers at this port; to strangers, of which
// cluster and release it is.
func (s *internalService) WhoAmI(ctx context.Context) (*wire.Identity, error) {
	id := &wire.Identity{Cluster: s.node.cfg.Cluster, Owner: &wire.Owner{}, Release: buildRelease(), Services: []string{}}
	if !fromMember(ctx) {
		return id, nil
	}
	id.Owner, id.UptimeMs = wireOwner(s.node.owner), time.Since(s.started).Milliseconds()
	id.Keys = s.node.trust.Fingerprints()
	s.node.offers.each(func(o *offer) { id.Services = append(id.Services, o.service) })
	slices.Sort(id.Services)
	return id, nil
}

// Describe lists all registrations of this process, for peers on the LAN when
// they do not fit in a datagram.
func (s *internalService) Describe(context.Context) (*wire.Description, error) {
	s.node.mu.Lock()
	list := slices.Collect(maps.Values(s.node.foreign))
	s.node.mu.Unlock()
	s.node.offers.listings(func(o *offer) { list = append(list, o.current()...) })
	slices.SortFunc(list, registry.Compare)
	d := &wire.Description{Owner: wireOwner(s.node.owner), Hash: listing.Hash(list), Registrations: []*wire.Registration{}}
	now := time.Now()
	for _, in := range list {
		d.Registrations = append(d.Registrations, listing.Encode(in, now))
	}
	return d, nil
}

// Members lists the processes that this one knows of, itself among them.
func (s *internalService) Members(context.Context) ([]*wire.Member, error) {
	now := time.Now()
	out := []*wire.Member{}
	for _, m := range s.node.members.list() {
		w := &wire.Member{Owner: wireOwner(m.Owner), Addr: m.Addr, TLS: &m.TLS, Place: &m.Place}
		if m.Gone != "" {
			w.SilentMs, w.Gone = new(now.Sub(m.Heard).Milliseconds()), &m.Gone
		}
		out = append(out, w)
	}
	return out, nil
}

// Introduce takes in a process that no registry lists, at its own word.
func (s *internalService) Introduce(ctx context.Context, w *wire.Member) error {
	m := memberOf(w, time.Now())
	err := m.sane()
	if err == nil && m.Owner == s.node.owner {
		err = errors.New("it is the name of the process that was called")
	}
	if err == nil {
		err = s.reachable(ctx, m)
	}
	if err == nil {
		err = s.itself(ctx, m)
	}
	if err == nil {
		err = s.node.members.introduce(m)
	}
	if err != nil {
		s.node.denials.say(ctx, "introduce", err)
		return fmt.Errorf("introduction of %v: %w", m.Owner, err)
	}
	return nil
}

// Farewell takes it off again, at its own word, or when it no longer answers
// where it is known.
func (s *internalService) Farewell(ctx context.Context, o *wire.Owner) error {
	owner := ownerOf(o)
	from := callerOf(ctx)
	switch m, known := s.node.members.find(owner); {
	case from.Owner == owner.String() || !known:
	case from.Owner != "":
		return s.wrongName(ctx, "farewell", owner, from.Owner)
	case s.asked(ctx, m) == nil:
		return s.wrongName(ctx, "farewell", owner, "another process, as it still answers")
	}
	s.node.members.farewell(owner)
	return nil
}

// reachable refuses an address that means something on the caller's host only,
// when that is another one.
func (s *internalService) reachable(ctx context.Context, m member) error {
	host, _, err := net.SplitHostPort(m.Addr)
	if err != nil {
		return err
	}
	if why := registry.HostOnly(host); why != "" && !s.node.trust.OnHost(callerOf(ctx).Addr) {
		return fmt.Errorf("%s is %s, and the caller is on another host", m.Addr, why)
	}
	return nil
}

// itself checks that a process speaks for itself: by the certificate of its
// site connection, or else by an answer from the address that it gives.
func (s *internalService) itself(ctx context.Context, m member) error {
	switch from := callerOf(ctx); from.Owner {
	case m.Owner.String():
		return nil
	case "":
		return s.asked(ctx, m)
	default:
		return fmt.Errorf("the caller is process %s", from.Owner)
	}
}

// asked asks the process at the address whether it is the one.
func (s *internalService) asked(ctx context.Context, m member) error {
	ctx, cancel := context.WithTimeout(ctx, peerLimit/2) // the caller waits for peerLimit
	defer cancel()
	p, err := s.node.newPeer(m, true)
	if err != nil {
		return err
	}
	defer p.calls.Close()
	return p.same(ctx)
}

func (s *internalService) wrongName(ctx context.Context, what string, owner registry.Owner, by string) error {
	err := fmt.Errorf("%s of %v: it comes from %s", what, owner, by)
	s.node.denials.say(ctx, what, err)
	return err
}

// Ended certifies the death of a process of this host.
func (s *internalService) Ended(_ context.Context, o *wire.Owner, place string) (bool, error) {
	return ended(ownerOf(o), place, s.node.owner), nil
}

// Leave takes a retired version of a service off the lists and the port.
func (s *internalService) Leave(_ context.Context, service, version string) (bool, error) {
	announced := s.node.dismiss(service, version)
	return s.node.offers.retire(service, version) || announced, nil
}

// Ping answers.
func (s *internalService) Ping(context.Context) error { return nil }

func wireOwner(o registry.Owner) *wire.Owner {
	return &wire.Owner{Host: o.Host, Pid: int32(o.PID), Epoch: o.Epoch}
}

func ownerOf(o *wire.Owner) registry.Owner {
	return registry.Owner{Host: o.GetHost(), PID: int(o.GetPid()), Epoch: o.GetEpoch()}
}

// buildRelease is the version of this module in the program's build.
func buildRelease() string {
	const module = "github.com/skerry/skerry"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == module {
		return cmp.Or(info.Main.Version, "(devel)")
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return "(devel)"
}

// describe asks a peer's internal service for what does not fit in a datagram.
// It makes a connection for one question; fetches are rare.
func (n *Node) describe(ctx context.Context, addr string, owner registry.Owner) ([]registry.Instance, error) {
	p, err := n.newPeer(member{Owner: owner, Addr: addr}, true)
	if err != nil {
		return nil, err
	}
	defer p.calls.Close()
	d, err := p.client().Describe(ctx)
	if err != nil {
		return nil, err
	}
	if o := d.GetOwner(); o == nil || ownerOf(o) != owner {
		return nil, fmt.Errorf("%s answers for %v, not for %v", addr, o, owner)
	}
	now := time.Now()
	list := make([]registry.Instance, 0, len(d.Registrations))
	for _, r := range d.Registrations {
		in, err := listing.Decode(r, owner, now)
		if err != nil {
			return nil, fmt.Errorf("registration of %s: %w", addr, err)
		}
		list = append(list, in)
	}
	return list, nil
}
