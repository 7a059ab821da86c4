package releases

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// Live implements Operations by a node.
type Live struct {
	// Controller is one for the whole command, so that it waits for a database that it has reached.
	*operator.Controller
	node *skerry.Node

	patience time.Duration // how long a look waits for a list, while the database answers other queries

	hands   Hands
	teller  Teller
	changes func(operator.Progress) // called with what commit and rollback wait for
	tell    func(operator.Progress) // called with what the current step waits for; may be nil
}

// New returns the operations of an operator on the site of a node, which must know all services. A look waits up to
// patience for a list while the database answers other queries. What long steps wait for is told to t. hands is nil on
// a site without agents.
func New(n *skerry.Node, by control.Operator, patience time.Duration, t Teller, hands Hands) *Live {
	s := &Live{node: n, patience: patience, changes: t.Changes(), teller: t, hands: hands}
	by.Progress = s.progress
	s.Controller = control.Releases(n, by)
	return s
}

// lookPeriod is the time between two looks at a list that is not complete.
const lookPeriod = 25 * time.Millisecond

// progress passes on what a step waits for.
func (s *Live) progress(p operator.Progress) {
	switch {
	case p.Step == "wait":
		s.teller.Note("%s", p.Note)
	case s.tell != nil:
		s.tell(p)
	}
}

func (s *Live) State(ctx context.Context) (Site, error) {
	status := s.status(ctx)
	if len(status.Members) == 0 && errors.Is(status.Err, postgres.ErrNoTables) {
		return Site{}, unreachablef("no process of the site answers, and %w", postgres.ErrNoTables)
	}
	if len(status.Members) == 0 && errors.Is(status.Err, registry.ErrUnavailable) {
		return Site{}, unreachablef("FROZEN: %w. Requests go on; nothing can be committed or retired", status.Err)
	}
	if len(status.Members) == 0 && (status.Spread || status.Err != nil) {
		return Site{}, unreachablef("no process of the site answers; see skerry ls and skerry doctor")
	}
	return s.SiteOf(status), nil
}

// SiteOf returns the state of the site by a status, with the lists and keys that the node has now.
func (s *Live) SiteOf(status operator.Status) Site {
	st := Site{Status: status, Instances: s.node.Explain("")}
	for _, e := range st.Trail {
		name, err := control.SignerOf(s.node, e)
		st.Signers = append(st.Signers, Signer{name, err})
	}
	return st
}

// status waits for the list of processes when a slow database has already given the rules
// or instances.
func (s *Live) status(ctx context.Context) operator.Status {
	lost := func(src discovery.SourceStatus) bool { return src.Lost != "" }
	wait, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	for {
		status := s.Controller.Status(ctx)
		empty := len(s.node.Explain("")) == 0 && !slices.ContainsFunc(s.node.Sources(""), lost)
		if len(status.Members) > 0 || status.Err != nil || empty || run.Sleep(wait, lookPeriod) != nil {
			return status
		}
	}
}

// Connect tests an instance that gets no calls yet.
func (s *Live) Connect(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// stepped returns the release after a step, with the step's error.
func (s *Live) stepped(ctx context.Context, step error) (rollout.Release, error) {
	log, _, err := s.Controller.Log(ctx)
	if step != nil {
		err = step
	}
	if log == nil {
		return rollout.Release{}, err
	}
	r, _ := log.Session()
	return r, err
}

// Start opens a release with a name of its own and a random mark. It fixes the version of
// every service with one running version, so that a second version may start without
// requests.
func (s *Live) Start(ctx context.Context, reason string) (rollout.Release, error) {
	c := s.Controller
	log, _, err := c.Log(ctx)
	if err != nil {
		return rollout.Release{}, err
	}
	name := "r" + strings.ReplaceAll(log.Next("", nil).Generation.String(), ":", "-")
	var notes []string
	if p := s.Policy(ctx); p.Number > 0 {
		notes = append(notes, fmt.Sprintf("policy %d", p.Number))
	}
	return s.stepped(ctx, c.Open(ctx, name, reason, strings.ToLower(rand.Text()[:10]), s.single(), notes...))
}

// single returns the version of each service that runs in one version only.
func (s *Live) single() map[string]string {
	all := map[string][]string{}
	for _, in := range s.node.Explain("") {
		if in.State.Here() && !slices.Contains(all[in.Service], in.Version) {
			all[in.Service] = append(all[in.Service], in.Version)
		}
	}
	out := map[string]string{}
	for service, versions := range all {
		if len(versions) == 1 && versions[0] != "" {
			out[service] = versions[0]
		}
	}
	return out
}

func (s *Live) Put(ctx context.Context, module string, values map[string]string) (rollout.Release, error) {
	return s.stepped(ctx, s.Controller.PutSettings(ctx, module, values))
}

func (s *Live) Ship(ctx context.Context, m rollout.Module) (rollout.Release, error) {
	return s.stepped(ctx, s.Controller.Ship(ctx, m))
}

func (s *Live) Commit(ctx context.Context, shares []int, every time.Duration, g operator.Guard,
	tell func(operator.Progress)) (rollout.Release, error) {
	change := s.changing(ctx)
	s.tell = func(p operator.Progress) {
		if p.Step == "ramp" {
			tell(p)
		} else {
			change(p)
		}
	}
	err := s.Controller.Ramp(ctx, shares, every, g)
	return s.stepped(context.WithoutCancel(ctx), err)
}

func (s *Live) Rollback(ctx context.Context) (rollout.Release, error) {
	s.tell = s.changing(ctx)
	return s.stepped(ctx, s.Controller.Rollback(ctx))
}

// changing hears what a change over waits for: it tells, and has the hosts do it.
func (s *Live) changing(ctx context.Context) func(operator.Progress) {
	r, _ := s.stepped(ctx, nil) // without it nothing is ordered, and the step itself fails
	h := newHandover(s, s.teller, r)
	return func(p operator.Progress) {
		s.changes(p)
		h.progress(ctx, p)
	}
}

// Hands implements Operations.
func (s *Live) Hands() Hands { return s.hands }

func (s *Live) Clean(ctx context.Context, tell func([]Holder, string)) (rollout.Release, error) {
	byService := map[string][]rollout.Blocker{}
	s.tell = func(p operator.Progress) {
		if p.Step == "drain" {
			byService[p.Service] = p.Holders
			tell(holdersOf(byService, nil), "")
		} else if p.Step == "stop" {
			tell(nil, p.Note)
		}
	}
	err := s.Controller.Clean(ctx)
	return s.stepped(context.WithoutCancel(ctx), err)
}

func (s *Live) Holders(ctx context.Context) ([]Holder, error) {
	c := s.Controller
	byService, err := c.Blockers(ctx)
	if err != nil {
		return nil, err
	}
	status := c.Status(ctx)
	return holdersOf(byService, func(h rollout.Blocker) time.Time { return heldSince(status, h) }), nil
}

// heldSince returns the time since which a process holds a version back. For a silent
// process it is the last answer. Otherwise it is the start of the drain's step, a lower
// bound.
func heldSince(s operator.Status, h rollout.Blocker) time.Time {
	for _, m := range s.Members {
		if m.Process == h.Process && h.Silent() && time.Since(m.Heard) > time.Second {
			return m.Heard
		}
	}
	for _, e := range s.Trail {
		if s.Session != nil && e.Generation == s.Session.Since {
			return e.At
		}
	}
	return time.Time{}
}

func holdersOf(byService map[string][]rollout.Blocker, since func(rollout.Blocker) time.Time) []Holder {
	var out []Holder
	for service, list := range byService {
		for _, h := range list {
			x := Holder{Service: service, Blocker: h}
			if since != nil {
				x.Since = since(h)
			}
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b Holder) int {
		return strings.Compare(fmt.Sprint(a.Service, a.Process), fmt.Sprint(b.Service, b.Process))
	})
	return out
}
