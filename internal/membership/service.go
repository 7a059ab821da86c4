package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// openMethods are those of the framework's own service that any caller may use.
var openMethods = []string{"ping", "bring", "whoAmI"}

// Offers are the services of this process.
type Offers interface {
	// Services names those that are offered, in no order.
	Services() []string
	// Announced are the registrations that the LAN announces for this process.
	Announced() []registry.Instance
	// Listings are all registrations of this process, as any registry shows them.
	Listings() []registry.Instance
	// Retire takes a version of a service off that the rules have retired, and
	// reports whether there was any.
	Retire(service, version string) bool
	// CutMoved ends the streams of a version that a release has told to move.
	CutMoved(service, version string) int
	// Running counts the calls of a service that run here.
	Running(service string) int
	// Depart takes instances off the lists until the program is started again, or, of
	// none, the whole process. It does not wait.
	Depart(instances []registry.Instance)
}

// Description is where a service is described by a .thrift file.
type Description struct {
	File      string
	Include   []string // directories for included files
	Interface string   // the service's name in the file, where it declares several
	Version   string   // that this process offers; "": none
}

// ServiceConfig sets a Service up. All of it is required.
type ServiceConfig struct {
	Lists    *discovery.Discovery
	Offers   Offers
	Stats    *health.Recorder
	Recent   *recent.Recorder // the calls of the last minutes
	Spans    *spans.Recorder
	Self     policy.Request         // facts of this process as a caller
	Answered func() rpc.ServerStats // what the port has refused

	// IDL names where a service is described, ok false without a description.
	IDL func(service string) (d Description, ok bool)

	// Streams counts the streams that the process serves and has opened.
	Streams func() (served, opened []rpc.StreamCount)
	// Denied returns what the policy's access refuses, as rpc.Server.DeniedCalls.
	Denied func() (all []rpc.DeniedCalls, others int64)
	// Examine checks the process and its host, within ten seconds, and returns a doctor.Report as it travels.
	Examine func(context.Context) ([]byte, error)
}

// Service tells other skerry processes about this one: the framework's own
// service on every port.
type Service struct {
	cfg     ServiceConfig
	m       *Membership
	started time.Time
	watched watched
	trying  sync.Mutex // held while a policy is tried
	recents recentAnswers
	reading sync.Mutex // held while the text of a .thrift file is read
	checkup checkup

	condition conditionAnswer
}

var _ wire.Internal = (*Service)(nil)

// Service makes the internal service of this process.
func (m *Membership) Service(cfg ServiceConfig) *Service {
	return &Service{cfg: cfg, m: m, started: time.Now()}
}

// HandleAt offers the service at a port.
func (s *Service) HandleAt(server *rpc.Server) error {
	_, err := server.HandleInternal(InternalService, "", wire.NewInternalProcessor(s), openMethods...)
	return err
}

// WhoAmI says which process answers at this port; to strangers, of which
// cluster and release it is.
func (s *Service) WhoAmI(ctx context.Context) (*wire.Identity, error) {
	id := &wire.Identity{Cluster: s.m.cfg.Cluster, Owner: &wire.Owner{}, Release: Release(), Services: []string{}}
	if !fromMember(ctx) {
		return id, nil
	}
	id.Owner, id.UptimeMs = wireOwner(s.m.cfg.Owner), time.Since(s.started).Milliseconds()
	id.Keys, id.Policy = s.m.cfg.Trust.Fingerprints(), new(form.Version)
	if s.m.cfg.Caller != "" {
		id.Caller = &s.m.cfg.Caller
	}
	if s.m.edge.Load() {
		id.Gateway = new(true)
	}
	id.Services = append(id.Services, s.cfg.Offers.Services()...)
	slices.Sort(id.Services)
	return id, nil
}

// Describe lists the registrations that this process announces, for peers on the LAN when
// they do not fit in a datagram.
func (s *Service) Describe(context.Context) (*wire.Description, error) {
	list := s.cfg.Offers.Announced()
	d := &wire.Description{Owner: wireOwner(s.m.cfg.Owner), Hash: listing.Hash(list),
		Registrations: []*wire.Registration{}}
	now := time.Now()
	for _, in := range list {
		d.Registrations = append(d.Registrations, listing.Encode(in, now))
	}
	return d, nil
}

// Members lists the processes that this one knows of, itself among them.
func (s *Service) Members(context.Context) ([]*wire.Member, error) {
	now := time.Now()
	out := []*wire.Member{}
	for _, m := range s.m.list.members() {
		w := &wire.Member{Owner: wireOwner(m.Owner), Addr: m.Addr, TLS: &m.TLS, Place: &m.Place}
		if m.Gone != "" {
			w.SilentMs, w.Gone = new(now.Sub(m.Heard).Milliseconds()), &m.Gone
		}
		out = append(out, w)
	}
	return out, nil
}

// Introduce takes in a process that no registry lists, at its own word.
func (s *Service) Introduce(ctx context.Context, w *wire.Member) error {
	m := memberOf(w, time.Now())
	err := m.sane()
	if err == nil && m.Owner == s.m.cfg.Owner {
		err = errors.New("it is the name of the process that was called")
	}
	if err == nil {
		err = s.reachable(ctx, m)
	}
	if err == nil {
		err = s.itself(ctx, m)
	}
	if err == nil {
		err = s.m.list.introduce(m)
	}
	if err != nil {
		s.m.denials.say(ctx, "introduce", err)
		return fmt.Errorf("introduction of %v: %w", m.Owner, err)
	}
	return nil
}

// Farewell takes it off again, at its own word, or when it no longer answers
// where it is known.
func (s *Service) Farewell(ctx context.Context, o *wire.Owner) error {
	owner := ownerOf(o)
	from := callerOf(ctx)
	switch m, known := s.m.list.find(owner); {
	case from.Owner == owner.String() || !known:
	case from.Owner != "":
		return s.wrongName(ctx, "farewell", owner, from.Owner)
	case s.asked(ctx, m) == nil:
		return s.wrongName(ctx, "farewell", owner, "another process, as it still answers")
	}
	s.m.list.farewell(owner)
	return nil
}

// reachable refuses an address that means something on the caller's host only,
// when that is another one.
func (s *Service) reachable(ctx context.Context, m Member) error {
	host, _, err := net.SplitHostPort(m.Addr)
	if err != nil {
		return err
	}
	if why := reach.HostOnly(host); why != "" && !s.m.cfg.Trust.OnHost(callerOf(ctx).Addr) {
		return fmt.Errorf("%s is %s, and the caller is on another host", m.Addr, why)
	}
	return nil
}

// itself checks that a process speaks for itself: by the certificate of its
// site connection, or else by an answer from the address that it gives.
func (s *Service) itself(ctx context.Context, m Member) error {
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
func (s *Service) asked(ctx context.Context, m Member) error {
	ctx, cancel := context.WithTimeout(ctx, peerLimit/2) // the caller waits for peerLimit
	defer cancel()
	p, err := s.m.newPeer(m, true)
	if err != nil {
		return err
	}
	defer p.calls.Close()
	return p.Same(ctx)
}

func (s *Service) wrongName(ctx context.Context, what string, owner registry.Owner, by string) error {
	err := fmt.Errorf("%s of %v: it comes from %s", what, owner, by)
	s.m.denials.say(ctx, what, err)
	return err
}

// Ended certifies the death of a process of this host.
func (s *Service) Ended(_ context.Context, o *wire.Owner, place string) (bool, error) {
	return ended(ownerOf(o), place, s.m.cfg.Owner), nil
}

// Leave takes a retired version of a service off the lists and the port.
func (s *Service) Leave(_ context.Context, service, version string) (bool, error) {
	return s.cfg.Offers.Retire(service, version), nil
}

// CutStreams ends the streams of a version that the rules have told to move.
func (s *Service) CutStreams(_ context.Context, service, version string) (int32, error) {
	return int32(s.cfg.Offers.CutMoved(service, version)), nil
}

// Ping answers.
func (s *Service) Ping(context.Context) error { return nil }

func wireOwner(o registry.Owner) *wire.Owner {
	return &wire.Owner{Host: o.Host, Pid: int32(o.PID), Epoch: o.Epoch}
}

func ownerOf(o *wire.Owner) registry.Owner {
	return registry.Owner{Host: o.GetHost(), PID: int(o.GetPid()), Epoch: o.GetEpoch()}
}

// Release is the version of this module in the program's build.
func Release() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return releaseOf(info)
}

// releaseOf is the release of skerry in a program; "(devel)" when it was built of a working copy.
func releaseOf(info *debug.BuildInfo) string {
	const module = "github.com/skerry/skerry"
	if info.Main.Path == module {
		return cmp.Or(info.Main.Version, "(devel)")
	}
	for _, d := range info.Deps {
		if d.Path == module && d.Replace != nil {
			return cmp.Or(d.Replace.Version, "(devel)")
		}
		if d.Path == module {
			return d.Version
		}
	}
	return "(devel)"
}

// Describe asks a peer's internal service for what does not fit in a datagram.
// It makes a connection for one question; fetches are rare.
func (m *Membership) Describe(ctx context.Context, addr string, owner registry.Owner) ([]registry.Instance, error) {
	p, err := m.newPeer(Member{Owner: owner, Addr: addr}, true)
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
