package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/policytry"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// Bounds of a trial in one process.
const (
	tryLimit = time.Second // for looking at the calls
	tryPlans = 1000
)

var (
	errTrying    = errors.New("another policy is tried at this moment; ask again")
	errObeysNone = errors.New("it is told to obey no policy, so this one would have done nothing there")
)

// TryPolicy asks the process what another policy would have done with its calls of the last seconds.
func (p *Peer) TryPolicy(ctx context.Context, text string, plans []string, seconds int) (policytry.Report, error) {
	if plans == nil {
		plans = []string{}
	}
	b, err := p.client().TryPolicy(ctx, []byte(text), int64(seconds), plans)
	if err != nil {
		return policytry.Report{}, refused(err)
	}
	return policytry.Parse(b)
}

// TryPolicy says what another policy would have done with the calls of the last seconds, and applies nothing of it.
func (s *Service) TryPolicy(ctx context.Context, text []byte, seconds int64, plans []string) ([]byte, error) {
	r, err := s.try(ctx, text, seconds, plans)
	if err != nil {
		if !errors.Is(err, errTrying) && !errors.Is(err, errObeysNone) {
			s.m.denials.say(ctx, "tryPolicy", err)
		}
		return nil, &wire.RulesRefused{Code: policyRefusal(err), Message: err.Error()}
	}
	return r.Marshal()
}

func (s *Service) try(
	ctx context.Context, text []byte, seconds int64, plans []string,
) (policytry.Report, error) {
	switch {
	case len(text) > form.MaxText:
		return policytry.Report{}, fmt.Errorf("the text has %d bytes, a policy has at most %d", len(text), form.MaxText)
	case len(plans) > tryPlans:
		return policytry.Report{}, fmt.Errorf("%d plans are named, at most %d are tried", len(plans), tryPlans)
	case seconds < 1 || seconds > recent.Window:
		return policytry.Report{}, fmt.Errorf("%d seconds are asked for, want 1 to %d", seconds, recent.Window)
	case !s.trying.TryLock():
		return policytry.Report{}, errTrying
	}
	defer s.trying.Unlock()
	p, lost, err := form.Understand(text)
	if err != nil {
		return policytry.Report{}, fmt.Errorf("%w: %w", policylog.ErrEntry, err)
	}
	if s.m.policy.Status().Obey == sitepolicy.ObeysNone {
		return policytry.Report{}, errObeysNone
	}
	for _, name := range plans {
		p.On = append(p.On, policy.On{Name: name})
	}
	records := s.cfg.Recent.Last(int(seconds))
	s.findPeers(ctx, records)
	until := time.Now().Add(tryLimit)
	places := places{lists: s.cfg.Lists, of: map[string]map[string]place{}}
	r := policytry.Try(policytry.Config{
		Records: records,
		Now:     s.m.policy.Table(),
		Then:    policy.Compile(p, nil, 0),
		Self:    s.cfg.Self,
		Host:    s.m.cfg.Owner.Host,
		Living:  s.cfg.Lists.Living,
		Place:   places.find,
		Enough:  func() bool { return time.Now().After(until) },
	})
	for _, l := range lost {
		r.NotObeyed = append(r.NotObeyed, l.Key)
	}
	return r, nil
}

const (
	peersPause = 10 * time.Millisecond
	peersQuiet = 250 * time.Millisecond // without a change, until the lists count as whole
	peersLimit = time.Second
)

// findPeers looks for the other instances of the services that this process has served: they share its limits. It has
// no list of them before a policy asks for one, so that the first trial waits for it.
func (s *Service) findPeers(ctx context.Context, r recent.Records) {
	served := map[string]int{}
	for _, k := range r.Kinds {
		if k.Side == recent.Callee && !s.cfg.Lists.Watched(k.Service) {
			served[k.Service] = 0
		}
	}
	if len(served) == 0 {
		return
	}
	changed, until := time.Now(), time.Now().Add(peersLimit)
	for time.Since(changed) < peersQuiet && time.Now().Before(until) {
		for name, before := range served {
			if n := s.cfg.Lists.Living(name); n != before {
				served[name], changed = n, time.Now()
			}
		}
		if run.Sleep(ctx, peersPause) != nil {
			return
		}
	}
}

// places are where the processes have their instances, by service and process.
type places struct {
	lists *discovery.Discovery
	of    map[string]map[string]place
}

type place struct {
	zone string
	tags map[string]string
}

func (p *places) find(service, owner string) (zone, host string, tags map[string]string, known bool) {
	at := p.of[service]
	if at == nil {
		at = map[string]place{}
		for _, e := range p.lists.Explain(service) {
			at[e.Owner] = place{e.Zone, e.Tags}
		}
		p.of[service] = at
	}
	host, _, _ = strings.Cut(owner, "/") // host/pid/epoch
	there, known := at[owner]
	return there.zone, host, there.tags, known
}
