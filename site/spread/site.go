package spread

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/plan"
)

// Service is the name of the service that every agent on the network offers.
const Service = "skerry.agent"

// hostTag is the tag of a listing with the name of the host, as plans have it.
const hostTag = "host"

const (
	listTime = 3 * time.Second        // for registries that have not answered
	quiet    = 500 * time.Millisecond // without a new agent, until the list of a LAN is complete
	askTime  = 5 * time.Second        // for a small answer
	callTime = time.Minute            // for any answer
	atOnce   = 16                     // hosts that are asked at a time
)

// ErrNoAgent: no agent of that host is listed.
var ErrNoAgent = errors.New("no agent of this host is listed")

// Agent is an agent that a registry lists.
type Agent struct {
	Host    string `json:"host"` // as plans name it; the agent says so
	Zone    string `json:"zone,omitempty"`
	Process string `json:"process"` // registry.Owner.String
	Addr    string `json:"addr"`

	tls bool
}

// Site calls the agents of a site, each one on its own. Its methods may be called from any goroutine.
type Site struct {
	n     *skerry.Node
	began time.Time

	mu    sync.Mutex
	links map[Agent]*link
}

// link is the connection to one agent.
type link struct {
	to   *clientOf
	stop func() error
}

type clientOf struct{ make func() *agentwire.AgentClient }

// NewSite makes a Site for a node, which may be an observer.
func NewSite(n *skerry.Node) *Site {
	n.Explain(Service) // the registries are asked from now on
	return &Site{n: n, began: time.Now(), links: map[Agent]*link{}}
}

// Close ends the connections.
func (s *Site) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []error
	for _, l := range s.links {
		all = append(all, l.stop())
	}
	s.links = map[Agent]*link{}
	return errors.Join(all...)
}

// Agents returns the agents that the registries list, sorted by host. It waits until all registries have answered, for
// 3 s at most.
func (s *Site) Agents(ctx context.Context) ([]Agent, error) {
	limit := s.began.Add(listTime)
	count, changed := -1, time.Now()
	for {
		list := s.listed()
		if len(list) != count {
			count, changed = len(list), time.Now()
		}
		if now := time.Now(); now.After(limit) || s.answered() && now.Sub(changed) >= quiet {
			return list, nil
		}
		if err := run.Sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// answered reports whether every registry that can be reached has given its list.
func (s *Site) answered() bool {
	sources := s.n.Sources(Service)
	for _, l := range sources {
		if !l.Answered && l.Lost == "" && l.Name != broadcast.Source && l.Name != discovery.Disk {
			return false
		}
	}
	return len(sources) > 0
}

// listed are the agents that are listed now.
func (s *Site) listed() []Agent {
	var all []Agent
	for _, e := range s.n.Explain(Service) {
		host := e.Tags[hostTag]
		if e.Stale || e.State == discovery.Elsewhere || e.State == discovery.Gone ||
			registry.CheckName("host", host) != nil {
			continue
		}
		all = append(all, Agent{Host: host, Zone: e.Zone, Process: e.Owner, Addr: e.Addr, tls: e.TLS})
	}
	slices.SortFunc(all, func(a, b Agent) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Process, b.Process),
			strings.Compare(a.Addr, b.Addr))
	})
	return slices.CompactFunc(all, func(a, b Agent) bool { return a.Process == b.Process })
}

// zone is the zone of this process's agent.
func (s *Site) zone() string {
	own := s.n.Membership().Owner().String()
	for _, a := range s.listed() {
		if a.Process == own {
			return a.Zone
		}
	}
	return ""
}

// neighbours are the other agents that are listed now.
func (s *Site) neighbours() []Agent {
	own := s.n.Membership().Owner().String()
	return slices.DeleteFunc(s.listed(), func(a Agent) bool { return a.Process == own })
}

// to is the client of an agent, for one call at a time.
func (s *Site) to(a Agent) (*agentwire.AgentClient, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.links[a]; l != nil {
		return l.to.make(), nil
	}
	owner, err := registry.ParseOwner(a.Process)
	if err != nil {
		return nil, err
	}
	m := s.n.Membership()
	k, known := m.Find(owner)
	if !known {
		k = membership.Member{Owner: owner}
	}
	k.Addr, k.TLS = a.Addr, a.tls
	to, stop, err := m.Connect(k, Service, callTime)
	if err != nil {
		return nil, err
	}
	s.forget()
	l := &link{to: &clientOf{func() *agentwire.AgentClient { return agentwire.NewAgentClient(to) }}, stop: stop}
	s.links[a] = l
	return l.to.make(), nil
}

// forget ends the connections with agents that are listed no more. The caller holds mu.
func (s *Site) forget() {
	if len(s.links) == 0 {
		return
	}
	listed := map[Agent]bool{}
	for _, a := range s.listed() {
		listed[a] = true
	}
	for a, l := range s.links {
		if !listed[a] {
			_ = l.stop() // its process has ended
			delete(s.links, a)
		}
	}
}

// ask calls one agent, within a time.
func (s *Site) ask(ctx context.Context, a Agent, limit time.Duration,
	what func(context.Context, *agentwire.AgentClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := s.to(a)
	if err == nil {
		err = what(ctx, c)
	}
	var refused *agentwire.Refused
	switch {
	case errors.As(err, &refused):
		return &RefusedError{Host: a.Host, Reason: quote.Text(cut(refused.Reason)), Busy: refused.GetBusy()}
	case rpc.CodeOf(err) == rpc.NotMember:
		return fmt.Errorf("%s takes questions of processes of its site only: %w", a.Host, err)
	case err != nil:
		return fmt.Errorf("%s: %w", a.Host, err)
	}
	return nil
}

// RefusedError is the answer of an agent that does not do what it was asked.
type RefusedError struct {
	Host   string
	Reason string
	Busy   bool // it is worth asking again
}

// Error is the reason.
func (e *RefusedError) Error() string { return e.Host + ": " + e.Reason }

const maxText = 2000 // bytes of a text of another host

func cut(text string) string { return text[:min(len(text), maxText)] }

// each asks agents at once, each within a time. what may be called from several goroutines.
func (s *Site) each(ctx context.Context, all []Agent, limit time.Duration,
	what func(ctx context.Context, i int, c *agentwire.AgentClient) error) []error {
	errs := make([]error, len(all))
	places := make(chan struct{}, atOnce)
	var group sync.WaitGroup
	for i, a := range all {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			errs[i] = s.ask(ctx, a, limit, func(ctx context.Context, c *agentwire.AgentClient) error {
				return what(ctx, i, c)
			})
		})
	}
	group.Wait()
	return errs
}

// find is the agent of a host. Two agents that name themselves alike are an error.
func (s *Site) find(ctx context.Context, host string) (Agent, error) {
	all, err := s.Agents(ctx)
	if err != nil {
		return Agent{}, err
	}
	all = slices.DeleteFunc(all, func(a Agent) bool { return a.Host != host })
	switch len(all) {
	case 0:
		return Agent{}, fmt.Errorf("%w: %s; skerry agent run offers itself when its site: names a configuration",
			ErrNoAgent, host)
	case 1:
		return all[0], nil
	}
	return Agent{}, fmt.Errorf("%d agents say that they are %s: at %s and %s; give each host a name of its own in "+
		"agent.yaml", len(all), host, all[0].Addr, all[1].Addr)
}

// HostStatus is the answer of one host.
type HostStatus struct {
	Agent
	Status *Status // nil: it has not answered
	Err    error
}

// Statuses asks all hosts for their state.
func (s *Site) Statuses(ctx context.Context) ([]HostStatus, error) {
	all, err := s.Agents(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]HostStatus, len(all))
	errs := s.each(ctx, all, askTime, func(ctx context.Context, i int, c *agentwire.AgentClient) error {
		told, err := c.Status(ctx)
		if err == nil {
			list[i].Status = statusOf(told)
		}
		return err
	})
	for i := range list {
		list[i].Agent, list[i].Err = all[i], errs[i]
	}
	return list, nil
}

// Latest is the plan with the highest number that hosts of the site obey.
type Latest struct {
	Plan      agent.SignedPlan   // number 0: no host has one
	Conflicts []agent.SignedPlan // others with the same number
	Hosts     map[string]int64   // number of the plan that each host obeys
	Silent    map[string]error   // hosts that have not answered
}

// Latest asks all hosts for their plans. judge checks a plan, such as its signature; a plan that it refuses does not
// count. nil takes every plan of the cluster. No host can change a plan, and each may keep the newest one back.
func (s *Site) Latest(ctx context.Context, judge func(agent.SignedPlan) error) (Latest, error) {
	l := Latest{Hosts: map[string]int64{}, Silent: map[string]error{}}
	all, err := s.Agents(ctx)
	if err != nil {
		return l, err
	}
	plans := make([][]agent.SignedPlan, len(all))
	errs := s.each(ctx, all, callTime, func(ctx context.Context, i int, c *agentwire.AgentClient) error {
		told, err := c.Plan(ctx, 0)
		if err == nil {
			plans[i], err = s.plansOf(told)
		}
		return err
	})
	seen := map[string]bool{}
	for i, a := range all {
		if errs[i] != nil {
			l.Silent[a.Host] = errs[i]
			continue
		}
		l.Hosts[a.Host] = 0
		for n, p := range plans[i] {
			if judge != nil && judge(p) != nil {
				continue
			}
			if n == 0 {
				l.Hosts[a.Host] = p.Number
			}
			key := string(p.Digest())
			switch {
			case p.Number < l.Plan.Number || seen[key]:
			case p.Number > l.Plan.Number:
				l.Plan, l.Conflicts = p, nil
			default:
				l.Conflicts = append(l.Conflicts, p)
			}
			seen[key] = true
		}
	}
	return l, nil
}

// plansOf reads the answer to plan: none, one, or two of one number.
func (s *Site) plansOf(told *agentwire.SignedPlan) ([]agent.SignedPlan, error) {
	if told.GetNumber() == 0 || len(told.GetDocument()) == 0 {
		return nil, nil
	}
	first, err := s.planOf(told)
	if err != nil {
		return nil, err
	}
	all := []agent.SignedPlan{first}
	if len(told.GetOtherDocument()) > 0 {
		other := &agentwire.SignedPlan{Number: told.Number, Document: told.OtherDocument,
			Signature: told.OtherSignature}
		if p, err := s.planOf(other); err == nil {
			all = append(all, p)
		}
	}
	return all, nil
}

const maxPlan = 1 << 20 // bytes

// planOf reads a plan that another host has sent. Its number is the one of the text.
func (s *Site) planOf(told *agentwire.SignedPlan) (agent.SignedPlan, error) {
	if len(told.Document) > maxPlan || len(told.Signature) > maxPlan {
		return agent.SignedPlan{}, fmt.Errorf("it sends a plan of %d bytes, at most %d are taken", len(told.Document),
			maxPlan)
	}
	p, err := plan.Parse("plan", told.Document)
	if err != nil {
		return agent.SignedPlan{}, fmt.Errorf("it sends a plan that is none: %w", err)
	}
	cluster := s.n.Membership().Agent().Cluster()
	if p.Number != told.Number || p.Cluster != cluster {
		return agent.SignedPlan{}, fmt.Errorf("it sends plan %d of the cluster %s as plan %d of %s", p.Number,
			p.Cluster, told.Number, cluster)
	}
	return agent.SignedPlan{Number: p.Number, Text: told.Document, Signature: told.Signature,
		By: quote.Text(cut(told.GetSignedBy())), At: timeOf(told.TakenAt)}, nil
}

// Offered is what became of an offer at one host.
type Offered struct {
	Agent
	Err error // nil: the host obeys the plan
}

// Offer brings a plan to all hosts.
func (s *Site) Offer(ctx context.Context, p agent.SignedPlan) ([]Offered, error) {
	all, err := s.Agents(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Offered, len(all))
	for i, err := range s.offer(ctx, all, p) {
		list[i] = Offered{all[i], err}
	}
	return list, nil
}

func (s *Site) offer(ctx context.Context, to []Agent, p agent.SignedPlan) []error {
	return s.each(ctx, to, callTime, func(ctx context.Context, _ int, c *agentwire.AgentClient) error {
		return c.Offer(ctx, &agentwire.SignedPlan{Number: p.Number, Document: p.Text, Signature: p.Signature})
	})
}

// History asks one host for plans that it has obeyed, with numbers below before (0: all), the latest first.
func (s *Site) History(ctx context.Context, host string, before int64) (list []agent.SignedPlan, err error) {
	a, err := s.find(ctx, host)
	if err != nil {
		return nil, err
	}
	err = s.ask(ctx, a, callTime, func(ctx context.Context, c *agentwire.AgentClient) error {
		told, err := c.History(ctx, before)
		for _, w := range told[:min(len(told), historyMost)] {
			p, wrong := s.planOf(w)
			if err = cmp.Or(err, wrong); err == nil {
				list = append(list, p)
			}
		}
		return err
	})
	return list, err
}

const historyMost = 20 // plans of one answer

// LogPage is a part of the log of an instance.
type LogPage struct {
	Text    []byte // whole lines, as the instance has written them
	Cursor  int64  // of the page behind this one
	Skipped int64  // bytes that were rotated away before they were read
}

// Log asks one host for lines of an instance's log from a cursor; a negative cursor asks for the last lines. The host
// waits up to wait (30 s at most) for new lines when there are none.
func (s *Site) Log(ctx context.Context, host, instance string, cursor int64, lines int, wait time.Duration) (
	page LogPage, err error) {
	a, err := s.find(ctx, host)
	if err != nil {
		return page, err
	}
	err = s.ask(ctx, a, wait+askTime, func(ctx context.Context, c *agentwire.AgentClient) error {
		told, err := c.Log(ctx, instance, cursor, int32(min(lines, logLines)), int32(wait.Milliseconds()))
		if err == nil {
			page = LogPage{told.GetText(), told.GetCursor(), told.GetSkipped()}
		}
		return err
	})
	return page, err
}
