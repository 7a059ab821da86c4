package releases

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Hands start and stop versions on the hosts of a site that has agents. Each order is a plan of the site that an
// operator signs.
type Hands interface {
	// Plan says what the hosts would do for moves. Services that the site's plan does not name are left out: the
	// operator starts and stops them.
	Plan(ctx context.Context, reason string, moves ...Move) (Order, error)
	// Troubles are the reasons for which instances of a version are not up on the hosts that should run them.
	Troubles(ctx context.Context, service, version string) []Trouble
}

// Move changes which versions of a service run.
type Move struct {
	Service string
	Start   string   // version that is to run as well; "": none
	Like    string   // where and as often as this version does
	Stop    []string // versions that are to run nowhere
}

// Order is what the hosts will do.
type Order struct {
	Will     []string // each to be read after "This will"; empty: nothing
	Services []string // whose instances the hosts start and stop
	// Do gives the order. It returns when every host that answers has taken it, and not when it is carried out. What
	// it returns are hosts that will take it later, each with the reason.
	Do func(context.Context) (later []string, err error)
}

// Trouble is the state of instances that are not up on one host.
type Trouble struct {
	Host  string
	Text  string // such as "auth/v2#1: backing off: exit status 1"
	Final bool   // waiting is no use: it is in a crash loop, or refused
	Log   string // its last lines, of a final one
}

// give gives an order, and tells which hosts take it later.
func (o Order) give(ctx context.Context, t Teller) error {
	if o.Do == nil {
		return nil
	}
	later, err := o.Do(ctx)
	if err != nil {
		return problemf("the agents of the site: %w", err)
	}
	for _, line := range o.Will {
		t.Note("ordered: %s", line)
	}
	for _, host := range later {
		t.Note("%s takes the plan when it answers", host)
	}
	return nil
}

// planMoves plans moves with the hands of a site; without hands it is an order of nothing.
func planMoves(ctx context.Context, to Operations, reason string, moves ...Move) (Order, error) {
	h := to.Hands()
	if h == nil || len(moves) == 0 {
		return Order{}, nil
	}
	o, err := h.Plan(ctx, reason, moves...)
	if err != nil {
		return Order{}, problemf("the agents of the site: %w", err)
	}
	return o, nil
}

// startMove has the new version of a module run beside the old one.
func startMove(name string, m Module) Move { return Move{Service: name, Start: m.Version, Like: m.Old} }

// stopMoves take the outgoing versions of a release away, and what was started and not shipped.
func stopMoves(r rollout.Release, log *rollout.Log) []Move {
	var moves []Move
	for _, m := range r.Modules {
		moves = append(moves, Move{Service: m.Service, Stop: []string{r.Outgoing(m)}})
	}
	return append(moves, unshippedMoves(r, log)...)
}

// unshippedMoves take away what ship has started and not shipped.
func unshippedMoves(r rollout.Release, log *rollout.Log) (moves []Move) {
	for _, service := range unshipped(r) {
		version := r.Settings[service]["version"]
		if rule, known := log.Rule(service); !known || rule.Version == version {
			continue // it may be the one that serves
		}
		moves = append(moves, Move{Service: service, Stop: []string{version}})
	}
	return moves
}

// unshipped returns the services that the settings of a release name a version of, and that are no modules of it.
func unshipped(r rollout.Release) (services []string) {
	for service, values := range r.Settings {
		if values["version"] != "" && !slices.ContainsFunc(r.Modules,
			func(m rollout.Module) bool { return m.Service == service }) {
			services = append(services, service)
		}
	}
	slices.Sort(services)
	return services
}

// handover has the hosts do what a change over waits for: stop the version that leaves, and start the one that is to
// begin. Both are one order, because the site's turn keeps the second from beginning too early.
type handover struct {
	to    Operations
	t     Teller
	r     rollout.Release
	given map[string]bool // by what has begun: an operator may turn back in the middle
}

func newHandover(to Operations, t Teller, r rollout.Release) *handover {
	return &handover{to: to, t: t, r: r, given: map[string]bool{}}
}

// progress hears what a change over waits for.
func (h *handover) progress(ctx context.Context, p operator.Progress) {
	i := slices.IndexFunc(h.r.Modules, func(m rollout.Module) bool { return m.Service == p.Service })
	if i < 0 || p.Version == "" || p.Step != "leave" && p.Step != "begin" {
		return
	}
	m := h.r.Modules[i]
	leaves, begins := m.Old, m.New
	if (p.Step == "leave") == (p.Version == m.New) { // it is a rollback
		leaves, begins = m.New, m.Old
	}
	if h.given[Title(p.Service, begins)] {
		return
	}
	h.given[Title(p.Service, begins)] = true
	o, err := planMoves(ctx, h.to, "release "+h.r.Name, Move{Service: p.Service, Start: begins, Like: leaves,
		Stop: []string{leaves}})
	if err == nil {
		err = o.give(ctx, h.t)
	}
	if err != nil {
		h.t.Note("%s\nStop %s and start %s yourself; this goes on when they have", Explain(err),
			Title(p.Service, leaves), Title(p.Service, begins))
	}
}

// troubleText joins the texts of troubles, and returns the first final one.
func troubleText(list []Trouble) (text string, final *Trouble) {
	var parts []string
	for i, t := range list {
		parts = append(parts, fmt.Sprintf("%s: %s", t.Host, t.Text))
		if t.Final && final == nil {
			final = &list[i]
		}
	}
	return strings.Join(parts, "; "), final
}
