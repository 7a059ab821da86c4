package order

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/plan"
	"github.com/skerry/skerry/site/spread"
)

var (
	// ErrRivals: two plans of the highest number are signed, and the hosts obey neither.
	ErrRivals = errors.New("two plans have the same number")
	// ErrNoHost: no agent has taken the plan.
	ErrNoHost = errors.New("no host has taken the plan")
)

// Agents are the agents of a site: a spread.Site.
type Agents interface {
	Latest(ctx context.Context, judge func(agent.SignedPlan) error) (spread.Latest, error)
	Offer(ctx context.Context, p agent.SignedPlan) ([]spread.Offered, error)
	Statuses(ctx context.Context) ([]spread.HostStatus, error)
	Log(ctx context.Context, host, instance string, cursor int64, lines int, wait time.Duration) (spread.LogPage, error)
}

// Config says what a desk works with.
type Config struct {
	Agents    Agents
	Cluster   string
	Operators string // file with the keys that sign plans, in the form of allowed_signers

	// Sign returns the armored signature of a plan's text in the namespace plan.Namespace.
	Sign func(ctx context.Context, text []byte) ([]byte, error)
}

// Desk gives orders. Its methods may be called from any goroutine.
type Desk struct{ config Config }

// New makes a desk.
func New(c Config) *Desk { return &Desk{c} }

// Standing is what the hosts of a site obey.
type Standing struct {
	Plan   *plan.Plan         // number 0: no host has one
	Signed agent.SignedPlan   // Plan as it was signed
	Rivals []agent.SignedPlan // others of the same number
	Hosts  map[string]int64   // number of the plan that each host obeys
	Silent map[string]error   // hosts that have not answered
}

// Look asks all hosts. With ErrRivals the standing is complete, and its Plan is one of the rivals.
func (d *Desk) Look(ctx context.Context) (Standing, error) {
	operators, err := d.operators()
	if err != nil {
		return Standing{}, err
	}
	latest, err := d.config.Agents.Latest(ctx, func(p agent.SignedPlan) error { return verify(operators, p) })
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Plan: &plan.Plan{Cluster: d.config.Cluster}, Signed: latest.Plan, Rivals: latest.Conflicts,
		Hosts: latest.Hosts, Silent: latest.Silent}
	if latest.Plan.Number == 0 {
		return s, nil
	}
	if s.Plan, err = plan.Parse("the plan in force", latest.Plan.Text); err != nil {
		return s, err
	}
	if len(s.Rivals) > 0 {
		return s, fmt.Errorf("%w: %d, of %s and %s; the hosts change nothing until they have a plan with a higher "+
			"number. Give a whole one: skerry site apply FILE", ErrRivals, latest.Plan.Number, latest.Plan.By,
			latest.Conflicts[0].By)
	}
	return s, nil
}

// operators are the keys that sign plans.
func (d *Desk) operators() (*sshsig.Operators, error) {
	list, err := keyfile.ReadOperators(d.config.Operators)
	if err != nil {
		return nil, fmt.Errorf("the keys that sign plans: %w", err)
	}
	return sshsig.NewOperators(list...), nil
}

// Judge returns an error for a plan that no operator has signed.
func (d *Desk) Judge(p agent.SignedPlan) error {
	operators, err := d.operators()
	if err != nil {
		return err
	}
	return verify(operators, p)
}

func verify(operators *sshsig.Operators, p agent.SignedPlan) error {
	blob, err := sshsig.Dearmor(p.Signature)
	if err != nil {
		return err
	}
	key, err := sshsig.Verify(blob, plan.Namespace, p.Text)
	if err != nil {
		return err
	}
	if _, ok := operators.Find(key, plan.Namespace); !ok {
		return fmt.Errorf("the key %s may not sign %s", key.Fingerprint(), plan.Namespace)
	}
	return nil
}

// same reports whether two plans want the same of the hosts.
func same(a, b *plan.Plan) bool {
	x, y := *a, *b
	for _, p := range []*plan.Plan{&x, &y} {
		p.Number, p.Parent, p.Reason = 0, "", ""
	}
	return bytes.Equal(x.Marshal(), y.Marshal())
}

// Given is what became of a plan.
type Given struct {
	Plan   *plan.Plan
	Signed agent.SignedPlan // Plan as it was signed; empty: nothing was to be given
	Took   []string         // hosts that obey it; none: nothing was to be given
	Later  map[string]error // hosts of the plan, and hosts that are listed, that do not obey it yet
}

// LaterText has a line for each host of Later, sorted.
func (g Given) LaterText() (lines []string) {
	for _, host := range slices.Sorted(maps.Keys(g.Later)) {
		text := g.Later[host].Error()
		if !strings.HasPrefix(text, host) {
			text = host + ": " + text
		}
		lines = append(lines, text)
	}
	return lines
}

// Give makes the next plan: edit gets what is in force now, and returns the whole next plan, whose number and parent
// are set here. An edit of a plan that has rivals fails with ErrRivals unless over is set: the next plan then decides.
// Nothing is given when edit returns the plan that is in force.
func (d *Desk) Give(ctx context.Context, over bool, edit func(Standing) (*plan.Plan, error)) (Given, error) {
	s, err := d.Look(ctx)
	if err != nil && !(over && errors.Is(err, ErrRivals)) {
		return Given{}, err
	}
	if len(s.Hosts) == 0 {
		return Given{}, fmt.Errorf("%w: %s", ErrNoHost, silentText(s.Silent))
	}
	edited, err := edit(s)
	if err != nil {
		return Given{}, err
	}
	if s.Signed.Number > 0 && len(s.Rivals) == 0 && same(s.Plan, edited) {
		return Given{Plan: s.Plan}, nil
	}
	next := *edited
	next.Number, next.Parent, next.Cluster = s.Signed.Number+1, string(s.Signed.Digest()), d.config.Cluster
	text := next.Marshal()
	if _, err := plan.Parse("the next plan", text); err != nil {
		return Given{}, err
	}
	signature, err := d.config.Sign(ctx, text)
	if err != nil {
		return Given{}, err
	}
	signed := agent.SignedPlan{Number: next.Number, Text: text, Signature: signature}
	if err := d.Judge(signed); err != nil {
		return Given{}, fmt.Errorf("no host would take what this key signs: %w", err)
	}
	offered, err := d.config.Agents.Offer(ctx, signed)
	if err != nil {
		return Given{}, err
	}
	g := Given{Plan: &next, Signed: signed, Later: map[string]error{}}
	for _, o := range offered {
		if o.Err != nil {
			g.Later[o.Host] = o.Err
			continue
		}
		g.Took = append(g.Took, o.Host)
		delete(g.Later, o.Host)
	}
	for host := range next.Named() {
		if _, heard := g.Later[host]; !heard && !slices.Contains(g.Took, host) {
			g.Later[host] = spread.ErrNoAgent
		}
	}
	if len(g.Took) == 0 {
		return g, fmt.Errorf("%w: %s", ErrNoHost, strings.Join(g.LaterText(), "; "))
	}
	return g, nil
}

func silentText(silent map[string]error) string {
	if len(silent) == 0 {
		return "no agent is listed; see skerry ls " + spread.Service
	}
	return strings.Join(Given{Later: silent}.LaterText(), "; ")
}
