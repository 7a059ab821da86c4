package membership

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// Codes of wire.OrderRefused, and what they stand for.
var orderRefusals = map[string]error{
	"unproven": rollout.ErrUnproven,
	"foreign":  drain.ErrForeign,
	"stale":    drain.ErrStale,
	"order":    drain.ErrOrder,
	"absent":   drain.ErrAbsent,
	"alive":    drain.ErrAlive,
}

// Drains is what operators have drained in this process.
func (m *Membership) Drains() *drain.Book { return m.drains }

// loadDrains takes in the drains with a time that an earlier run has kept.
func (m *Membership) loadDrains() {
	m.drains = drain.NewBook(m.cfg.Cluster, m.cfg.Owner.String())
	kept, err := state.Read[[]drain.Kept](m.cfg.Files, state.Drains)
	if err != nil {
		m.log.Warn("the kept orders to drain can't be read; calls come", "err", err)
		return
	}
	for _, err := range m.drains.Restore(kept, time.Now(), m.proved) {
		m.log.Warn("a kept order to drain is not obeyed; calls come", "err", err)
	}
	if _, held := m.drains.Now(); len(held) > 0 {
		m.log.Warn("the process is drained, as it was before its start", "by", held[0].By, "until", held[0].Until,
			"why", held[0].Order.Why)
	}
}

// proved returns the operator of an order, by the keys that count now.
func (m *Membership) proved(o drain.Order, proof rollout.Proof) (by string, err error) {
	signer, err := m.cfg.Trust.Signer(drain.Purpose, o.Text(), proof)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", rollout.ErrUnproven, err)
	case m.cfg.Trust.NamesOperators():
		return signer, nil
	}
	return cmp.Or(o.By, "an operator"), nil // any member may sign, in any name
}

// endDrains ends drains with their time, and keeps those that outlive this process.
func (m *Membership) endDrains(ctx context.Context) error {
	for {
		changed := m.drains.Changed()
		over, next := m.drains.Expire(time.Now())
		if len(over) > 0 {
			m.keepDrains()
		}
		for _, h := range over {
			m.log.Info("a drain has ended with its time: calls come again", "by", h.By, "since", h.Since,
				"why", h.Order.Why)
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		end := time.NewTimer(max(wait, 0))
		select {
		case <-ctx.Done():
			end.Stop()
			return nil
		case <-end.C:
		case <-changed:
		}
		end.Stop()
	}
}

// keepDrains writes the drains that outlive this process, and returns their number on the disk.
func (m *Membership) keepDrains() int {
	kept := m.drains.Keep()
	if m.cfg.Files.Path(state.Drains) == "" {
		return 0
	}
	if err := m.cfg.Files.Write(state.Drains, kept); err != nil {
		m.log.Warn("orders to drain are not kept for the next start", "err", err)
		return 0
	}
	return len(kept)
}

// Drains tells what operators have drained here.
func (s *Service) Drains(context.Context) (*wire.Drains, error) {
	w := s.drains()
	if s.m.cfg.Files.Path(state.Drains) != "" {
		w.Retained = new(int64(len(s.m.drains.Keep())))
	}
	return w, nil
}

func (s *Service) drains() *wire.Drains {
	number, held := s.m.drains.Now()
	w := &wire.Drains{Number: number, Drains: []*wire.Drain{}}
	now := time.Now()
	for _, h := range held {
		d := &wire.Drain{By: h.By, AgeMs: now.Sub(h.Since).Milliseconds()}
		if h.Order.Why != "" {
			d.Why = &h.Order.Why
		}
		if !h.Until.IsZero() {
			d.LeftMs = new(max(0, h.Until.Sub(now).Milliseconds()))
		}
		for _, in := range h.Order.Instances {
			d.Instances = append(d.Instances,
				&wire.DrainedInstance{Name: in.Service, Version: &in.Version, Addr: in.Addr})
		}
		w.Drains = append(w.Drains, d)
	}
	services := map[string]bool{}
	for _, in := range s.cfg.Offers.Listings() {
		if s.m.drains.Of(in).On {
			services[in.Service] = true
		}
	}
	running := int64(0)
	for service := range services {
		running += int64(s.cfg.Offers.Running(service))
	}
	w.Running = &running
	return w
}

// Obey obeys an order that an operator has signed.
func (s *Service) Obey(ctx context.Context, order, proof []byte) (*wire.Drains, error) {
	o, err := s.obey(ctx, order, proof)
	if err != nil {
		for _, dishonest := range []error{rollout.ErrUnproven, drain.ErrForeign, drain.ErrOrder, drain.ErrStale} {
			if errors.Is(err, dishonest) {
				s.m.denials.say(ctx, "obey", err)
				break
			}
		}
		return nil, orderRefused(err)
	}
	w := s.drains()
	if o.Verb == drain.Begin || o.Verb == drain.Undo {
		w.Retained = new(int64(s.m.keepDrains()))
	}
	return w, nil
}

func (s *Service) obey(ctx context.Context, order, proof []byte) (drain.Order, error) {
	o, err := drain.Parse(order)
	if err != nil {
		return o, err
	}
	if err := s.m.drains.For(o); err != nil { // before a signature is checked
		return o, err
	}
	var p rollout.Proof
	if err := json.Unmarshal(proof, &p); err != nil {
		return o, fmt.Errorf("%w: its proof: %w", drain.ErrOrder, err)
	}
	by, err := s.m.proved(o, p)
	if err != nil {
		return o, err
	}
	if err := s.fits(ctx, o); err != nil {
		return o, err
	}
	if err := s.m.drains.Obey(drain.Held{Order: o, Proof: p, By: by}, time.Now()); err != nil {
		return o, err
	}
	s.m.log.Warn("an order of an operator is carried out", "order", string(o.Verb), "by", by, "why", o.Why, "instances",
		o.Instances, "process", o.Process)
	switch o.Verb {
	case drain.Leave:
		s.cfg.Offers.Depart(s.named(o))
	case drain.Forget:
		s.m.list.forget(o.Process)
	}
	return o, nil
}

// fits checks what an order names: instances that are offered here, or a process that does not answer.
func (s *Service) fits(ctx context.Context, o drain.Order) error {
	if named := s.named(o); o.Verb != drain.Undo && len(named) < len(o.Instances) {
		return fmt.Errorf("%w: this process offers %d of the %d instances", drain.ErrAbsent, len(named),
			len(o.Instances))
	}
	if o.Verb != drain.Forget {
		return nil
	}
	owner, err := registry.ParseOwner(o.Process)
	if err != nil {
		return fmt.Errorf("%w: %w", drain.ErrOrder, err)
	}
	if owner == s.m.cfg.Owner {
		return fmt.Errorf("%w: it is this one", drain.ErrAlive)
	}
	if k, known := s.m.list.find(owner); known && s.asked(ctx, k) == nil {
		return fmt.Errorf("%w: it answers at %s", drain.ErrAlive, k.Addr)
	}
	return nil
}

// named are the instances of this process that an order names.
func (s *Service) named(o drain.Order) (list []registry.Instance) {
	for _, in := range s.cfg.Offers.Listings() {
		if slices.Contains(o.Instances, drain.InstanceOf(in)) {
			list = append(list, in)
		}
	}
	return list
}

func orderRefused(err error) error {
	r := &wire.OrderRefused{Code: "order", Message: err.Error()}
	for _, code := range slices.Sorted(maps.Keys(orderRefusals)) {
		if errors.Is(err, orderRefusals[code]) {
			r.Code = code
			break
		}
	}
	return r
}

// Drains asks for its drains, and for the number of its last order.
func (p *Peer) Drains(ctx context.Context) (*wire.Drains, error) {
	if err := p.Same(ctx); err != nil {
		return nil, err
	}
	return p.client().Drains(ctx)
}

// Obey brings it an order with its proof. The error wraps those of package drain, and
// rollout.ErrUnproven.
func (p *Peer) Obey(ctx context.Context, o drain.Order, proof rollout.Proof) (*wire.Drains, error) {
	text, err := json.Marshal(proof)
	if err != nil {
		return nil, err
	}
	if err := p.Same(ctx); err != nil {
		return nil, err
	}
	w, err := p.client().Obey(ctx, []byte(o.Text()), text)
	if r, ok := errors.AsType[*wire.OrderRefused](err); ok {
		e := &refusalError{text: r.Message}
		if known := orderRefusals[r.Code]; known != nil {
			e.known = []error{known}
		}
		return nil, e
	}
	return w, err
}
