package order

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/site/plan"
)

// Hands carry out the steps of releases by plans. They implement releases.Hands.
type Hands struct {
	Desk *Desk
	// Artifacts returns the digests of a version by platform, as a store of the operator's host has them.
	Artifacts func(service, version string) (map[string]string, error)

	mu     sync.Mutex
	asked  time.Time
	latest []releases.Trouble
	of     string // service and version of latest
}

// Plan implements releases.Hands.
func (h *Hands) Plan(ctx context.Context, reason string, moves ...releases.Move) (releases.Order, error) {
	s, err := h.Desk.Look(ctx)
	if err != nil {
		return releases.Order{}, err
	}
	next, err := h.edit(s.Plan, moves)
	if err != nil || same(s.Plan, next) {
		return releases.Order{}, err
	}
	o := releases.Order{Do: func(ctx context.Context) ([]string, error) {
		given, err := h.Desk.Give(ctx, false, func(now Standing) (*plan.Plan, error) {
			next, err := h.edit(now.Plan, moves)
			if err == nil {
				next.Reason = line(reason)
			}
			return next, err
		})
		return given.LaterText(), err
	}}
	for _, text := range plan.Diff(s.Plan, next) {
		switch what := strings.TrimSpace(text[1:]); text[0] {
		case '+':
			o.Will = append(o.Will, "have the agents start "+what)
		case '-':
			o.Will = append(o.Will, "have the agents stop "+what)
		}
	}
	for _, m := range moves {
		if _, is := s.Plan.Services[m.Service]; is {
			o.Services = append(o.Services, m.Service)
		}
	}
	return o, nil
}

const maxReason = 500 // bytes

// line is a reason that a plan may have.
func line(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// edit returns the plan after moves. Moves of services that it does not name, and those that are made already, change
// nothing.
func (h *Hands) edit(p *plan.Plan, moves []releases.Move) (*plan.Plan, error) {
	next := *p
	out := &next
	for _, m := range moves {
		s, is := out.Services[m.Service]
		if !is {
			continue
		}
		var err error
		if _, runs := s.Run[m.Start]; m.Start != "" && !runs {
			if out, err = h.start(out, m); err != nil {
				return nil, err
			}
		}
		for _, version := range m.Stop {
			if _, runs := out.Services[m.Service].Run[version]; !runs {
				continue
			}
			if out, err = out.Without(m.Service, version); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// start adds a version to a plan, where another one runs.
func (h *Hands) start(p *plan.Plan, m releases.Move) (*plan.Plan, error) {
	like := m.Like
	if _, runs := p.Services[m.Service].Run[like]; !runs {
		like = "" // the only one of the plan
	}
	next, err := p.Beside(m.Service, m.Start, like)
	if err != nil {
		return nil, err
	}
	found, err := h.Artifacts(m.Service, m.Start)
	if err != nil {
		return nil, err
	}
	if like == "" {
		like = slices.Sorted(maps.Keys(p.Services[m.Service].Run))[0]
	}
	for platform := range p.Services[m.Service].Run[like].Artifacts {
		if found[platform] == "" && found["any"] == "" {
			return nil, fmt.Errorf("the store of this host has no %s/%s for %s; import its bundle here: skerry bundle "+
				"import FILE", m.Service, m.Start, platform)
		}
	}
	r := next.Services[m.Service].Run[m.Start]
	r.Artifacts = found
	next.Services[m.Service].Run[m.Start] = r // a map of its own
	return next, nil
}

// Troubles implements releases.Hands. Hosts are asked every two seconds at most.
func (h *Hands) Troubles(ctx context.Context, service, version string) []releases.Trouble {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := service + "/" + version
	if h.of == name && time.Since(h.asked) < askEvery {
		return h.latest
	}
	h.of, h.asked, h.latest = name, time.Now(), nil
	hosts, err := h.Desk.config.Agents.Statuses(ctx)
	if err != nil {
		return nil
	}
	for _, host := range hosts {
		if host.Status == nil {
			continue // its instances may be up; the release asks the registry
		}
		for _, i := range host.Status.Instances {
			if !strings.HasPrefix(i.Name, name+"#") || i.Phase == "up" || i.Phase == "starting" {
				continue
			}
			t := releases.Trouble{Host: host.Host, Text: i.Name + ": " + i.Phase, Final: i.CrashLooping}
			if i.CrashLooping {
				t.Text = i.Name + ": crash looping"
			}
			for _, why := range []string{i.LastExit, i.Problem} {
				if why != "" {
					t.Text += ": " + why
				}
			}
			if t.Final {
				t.Log = h.log(ctx, host.Host, i.Name)
			}
			h.latest = append(h.latest, t)
		}
		for _, text := range host.Status.Fetching {
			if strings.Contains(text, name) {
				h.latest = append(h.latest, releases.Trouble{Host: host.Host, Text: text})
			}
		}
	}
	return h.latest
}

const (
	askEvery = 2 * time.Second
	logLines = 40
	logTime  = 5 * time.Second
	logBytes = 8 << 10
)

// log has the last lines of an instance.
func (h *Hands) log(ctx context.Context, host, instance string) string {
	ctx, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	page, err := h.Desk.config.Agents.Log(ctx, host, instance, -1, logLines, 0)
	if err != nil {
		return fmt.Sprintf("(its log can't be read: %v)", err)
	}
	text := page.Text[max(0, len(page.Text)-logBytes):]
	return string(quote.Lines(string(text)))
}
