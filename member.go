package skerry

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
)

// keepMembers is how often the membership list goes to disk when it has changed.
const keepMembers = 2 * time.Second

// joinSite lists this process as a member and watches the others.
func (n *Node) joinSite() {
	n.askKept()
	n.lookout.Go(n.learnFirst)
	n.lookout.Go(n.keepUp)
	if !n.opts.guest {
		n.offers.join()
		n.lookout.Go(n.introduce)
	}
	for _, s := range n.sources {
		stop := s.Registry.Watch(nodeName, func(snap registry.Snapshot) { n.hearMembers(s.Name, snap) })
		n.lookout.Go(func(ctx context.Context) error {
			<-ctx.Done()
			stop()
			return nil
		})
	}
	n.lookout.Go(n.rememberMembers)
}

// learnAhead has keepUp look for rules that are not applied here.
func (n *Node) learnAhead() {
	select {
	case n.ahead <- struct{}{}:
	default: // it is about to
	}
}

// keepUp fetches rules from processes that announce newer ones than those
// applied here.
func (n *Node) keepUp(ctx context.Context) error {
	for {
		select {
		case <-n.ahead:
			n.fetchAhead(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// fetchAhead asks a few at a time, until nobody is ahead who was not asked.
func (n *Node) fetchAhead(ctx context.Context) {
	tried := map[registry.Owner]bool{}
	for ctx.Err() == nil {
		few := n.members.ahead(n.rules.Log().Last(), tried, coldAsks)
		if len(few) == 0 {
			return
		}
		newest, _ := announcedRules(few[0].rules)
		asking, enough := context.WithCancel(ctx)
		round := run.NewGroup(asking)
		for _, m := range few {
			tried[m.Owner] = true
			if n.away(m) != nil {
				continue // calls bring them
			}
			round.Go(func(ctx context.Context) error {
				err := n.fetchRules(ctx, m)
				if !n.rules.Log().Last().Before(newest) {
					enough()
				} else if err != nil && ctx.Err() == nil && !errors.Is(err, rollout.ErrNeeds) {
					n.log.Warn("rules not fetched; calls and other processes bring them", "from", m.Owner.String(), "generation", newest.String(), "err", err)
				}
				return nil
			})
		}
		_ = round.Wait()
		enough()
	}
}

// announcedRules reads the generation in a process's rulesTag.
func announcedRules(tag string) (g rollout.Generation, said bool) {
	text, _, _ := strings.Cut(tag, " ")
	g, err := rollout.ParseGeneration(text)
	return g, err == nil
}

func (n *Node) fetchRules(ctx context.Context, m member) error {
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	p, err := n.peer(m)
	if err != nil {
		return err
	}
	return n.learnFrom(ctx, p.Since)
}

// learnFrom fetches the entries that are not applied here yet; the whole log
// when it parts from the one here, as a newer entry may end that.
func (n *Node) learnFrom(ctx context.Context, since func(context.Context, rollout.Generation) ([]rollout.Entry, error)) error {
	entries, err := since(ctx, n.rules.Log().Last())
	if err != nil {
		return err
	}
	err = n.rules.Learn(entries...)
	if errors.Is(err, rollout.ErrFork) || errors.Is(err, rollout.ErrGap) {
		if entries, err = since(ctx, rollout.Generation{}); err == nil {
			err = n.rules.Learn(entries...)
		}
	}
	return err
}

func (n *Node) loadMembers() *membership {
	kept, err := state.Read[[]member](n.files, state.Members)
	if err != nil {
		n.log.Warn("the kept list of processes can't be read; it is learnt again", "err", err)
	}
	return newMembership(kept)
}

// rememberMembers keeps the membership list on disk, and what of the rules was
// not kept when they came.
func (n *Node) rememberMembers(ctx context.Context) error {
	for {
		wait := run.Sleep(ctx, keepMembers)
		n.files.Hold()
		n.keepRules()
		if list, changed := n.members.changed(); changed {
			if err := n.files.Write(state.Members, list); err != nil {
				n.log.Warn("the list of processes is not kept", "err", err)
			}
		}
		if wait != nil {
			return nil
		}
	}
}

// join opens the port, even of a process that offers nothing, and lists the
// process under the hidden service.
func (p *provider) join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return
	}
	if err := p.listen(); err != nil {
		// Handle will say so too, to whom it concerns.
		p.n.log.Warn("this process is on no membership list: releases don't wait for it", "err", err)
		return
	}
	s := config.Service{Name: nodeName, Weight: -1, Zone: p.n.cfg.Zone}
	if len(p.n.cfg.Services) > 0 {
		s.Advertise = p.n.cfg.Services[0].Advertise
	}
	p.member = &offer{p: p, service: nodeName, entries: []config.Service{s}, started: time.Now(),
		first: make(chan struct{}), asked: make(chan struct{}), group: run.NewGroup(context.Background())}
	p.member.group.Go(p.member.keep)
}

// self is this process as others would list it; ok is false for a guest and
// while it has no address.
func (p *provider) self() (m member, ok bool) {
	p.mu.Lock()
	o := p.member
	p.mu.Unlock()
	if o == nil {
		return member{}, false
	}
	for _, in := range o.current() {
		return member{Owner: in.Owner, Addr: in.Addr(), TLS: in.TLS, Place: in.Tags[placeTag], Also: in.Tags[registry.AlsoTag]}, true
	}
	return member{}, false
}

// memberTags are what the process says of itself.
func (n *Node) memberTags() map[string]string {
	log := n.rules.Log()
	tags := map[string]string{rulesTag: strings.TrimSpace(log.Last().String() + " " + log.Hash())}
	if n.place != "" {
		tags[placeTag] = n.place
	}
	return tags
}

// listings calls f for every service that is offered, and for the process itself.
func (p *provider) listings(f func(*offer)) {
	p.each(f)
	p.mu.Lock()
	m := p.member
	p.mu.Unlock()
	if m != nil {
		f(m)
	}
}
