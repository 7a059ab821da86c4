package membership

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

const (
	askedAhead  = 3 // processes asked at a time for rules that they announce
	askedAtOnce = 8 // processes asked at once for rules that a call has named
)

// since fetches the entries of a log after a generation.
type since func(context.Context, rollout.Generation) ([]rollout.Entry, error)

// ruleSync fetches rules. Every question for entries of the rule log goes
// through [Membership.fetchRound], so that one place bounds how many are under
// way, ends them early and logs what failed.
type ruleSync struct {
	ahead chan struct{} // has a value when a process may have announced newer rules
}

// wake has followRules look for rules that are not applied here.
func (s *ruleSync) wake() {
	select {
	case s.ahead <- struct{}{}:
	default: // it is about to
	}
}

// question asks one process, or the database, for rules.
type question struct {
	from string // for the log
	ask  func(context.Context) error
}

// fetchRound puts questions at once, and returns when the generation is applied
// or all questions have ended. missed is told what failed.
func (m *Membership) fetchRound(ctx context.Context, to rollout.Generation, missed func(from string, err error),
	questions ...question) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	round := run.NewGroup(ctx)
	for _, q := range questions {
		round.Go(func(ctx context.Context) error {
			err := q.ask(ctx)
			switch {
			case !m.rules.Log().Last().Before(to):
				enough() // no other answer is needed
			case err != nil && ctx.Err() == nil:
				missed(q.from, err)
			}
			return nil
		})
	}
	_ = round.Wait()
}

// fetchFrom is the question to a process.
func (m *Membership) fetchFrom(k Member) question {
	return question{from: k.Owner.String(), ask: func(ctx context.Context) error { return m.fetch(ctx, k) }}
}

// followRules fetches rules from processes that announce newer ones than those
// applied here.
func (m *Membership) followRules(ctx context.Context) error {
	for {
		select {
		case <-m.sync.ahead:
			m.fetchAhead(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// fetchAhead asks a few processes at a time, until no process is ahead that was
// not asked.
func (m *Membership) fetchAhead(ctx context.Context) {
	tried := map[registry.Owner]bool{}
	for ctx.Err() == nil {
		few := m.list.ahead(m.rules.Log().Last(), tried, askedAhead)
		if len(few) == 0 {
			return
		}
		newest := few[0].Announced()
		var questions []question
		for _, k := range few {
			tried[k.Owner] = true
			if m.Away(k) == nil { // from others calls bring them
				questions = append(questions, m.fetchFrom(k))
			}
		}
		m.fetchRound(ctx, newest, func(from string, err error) {
			if !errors.Is(err, rollout.ErrNeeds) {
				m.log.Warn("rules not fetched; calls and other processes bring them",
					"from", from, "generation", newest.String(), "err", err)
			}
		}, questions...)
	}
}

// askNewer has the database and some processes asked for rules up to a
// generation, and calls over when all were asked.
func (m *Membership) askNewer(to rollout.Generation, over func()) {
	begun := m.spawn(func(ctx context.Context) {
		defer over()
		m.fetchNewer(ctx, to)
	})
	if !begun {
		over()
	}
}

// fetchNewer returns when the generation is applied or all have been asked.
func (m *Membership) fetchNewer(ctx context.Context, to rollout.Generation) {
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	var questions []question
	if db := m.Database(); db != nil {
		questions = append(questions, question{Database, func(ctx context.Context) error {
			return m.learnFrom(ctx, db.Rules().Since)
		}})
	}
	others := m.list.members()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	asked := 0
	for _, k := range others {
		if k.Owner == m.cfg.Owner || k.Gone != "" || asked == askedAtOnce {
			continue
		}
		asked++
		questions = append(questions, m.fetchFrom(k))
	}
	m.fetchRound(ctx, to, func(from string, err error) {
		m.log.Debug("newer rules were asked for in vain", "from", from, "generation", to.String(), "err", err)
	}, questions...)
}

// announcedRules reads the generation in a process's rulesTag.
func announcedRules(tag string) (g rollout.Generation, said bool) {
	text, _, _ := strings.Cut(tag, " ")
	g, err := rollout.ParseGeneration(text)
	return g, err == nil
}

// fetch applies what a process has and this one lacks.
func (m *Membership) fetch(ctx context.Context, k Member) error {
	return m.call(ctx, k, func(ctx context.Context, p *Peer) error { return m.learnFrom(ctx, p.Since) })
}

// learnFrom fetches the entries that are not applied here yet; the whole log
// when it parts from the one here, as a newer entry may end that.
func (m *Membership) learnFrom(ctx context.Context, since since) error {
	entries, err := since(ctx, m.rules.Log().Last())
	if err != nil {
		return err
	}
	err = m.rules.Learn(entries...)
	if errors.Is(err, rollout.ErrFork) || errors.Is(err, rollout.ErrGap) {
		if entries, err = since(ctx, rollout.Generation{}); err == nil {
			err = m.rules.Learn(entries...)
		}
	}
	return err
}

// Learn applies what the database has committed.
func (m *Membership) Learn(entries []rollout.Entry) {
	defer m.bootstrap.read()
	if len(entries) == 0 {
		return
	}
	if err := m.rules.Learn(entries...); err != nil {
		switch db := m.Database(); {
		case db != nil && errors.Is(err, rollout.ErrFork):
			m.learnWhole(db.Rules().Since)
		case errors.Is(err, rollout.ErrNeeds): // newAgent has said so
		default:
			m.log.Error("rules of the database not applied", "err", err)
		}
		return
	}
	m.log.Info("rules applied", "generation", m.rules.Log().Last().String())
}

// learnWhole reads the database's whole log, when it has forked from the one
// here: one of its entries may end that.
func (m *Membership) learnWhole(since since) {
	m.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, peerLimit)
		defer cancel()
		if err := m.learnFrom(ctx, since); err != nil && ctx.Err() == nil {
			m.log.Error("rules of the database not applied: its log is not the one that this process goes by; "+
				"an operator adopts one of them (skerry release adopt)", "err", err)
		}
	})
}

// Applied is the generation of the rules that are applied here.
func (m *Membership) Applied() rollout.Generation { return m.rules.Log().Last() }

// learnFirst lets traces begin when the rules are known, and the policy.
func (m *Membership) learnFirst(ctx context.Context) error {
	defer m.known()
	for {
		because, again := m.bootstrap.decide(time.Now())
		if because != "" {
			m.log.Info("traces may begin", "rules", m.Applied().String(), "because", because,
				"took", time.Since(m.bootstrap.begun).Round(time.Millisecond))
			m.rules.ExpireEmpty()
			m.sync.wake() // for the answers that were not waited for
			m.awaitNewest(ctx)
			return nil
		}
		for _, in := range m.bootstrap.more(time.Now()) {
			m.bootstrap.ask(in)
		}
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-m.bootstrap.news:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// askListed asks another process for its rules while this one starts.
func (m *Membership) askListed(in registry.Instance) {
	k := Member{Owner: in.Owner, Addr: in.Addr(), TLS: in.TLS, mark: in.Tags[reach.HostTag]}
	m.askFirst(k, m.fetch)
}

// askKept asks processes that were known when this one ran before: they may be
// there when no registry is.
func (m *Membership) askKept() {
	kept := m.list.members()
	for _, k := range kept[:min(len(kept), coldAsks)] {
		m.bootstrap.remembered(k.Owner)
		m.askFirst(k, func(ctx context.Context, k Member) error {
			p, err := m.peer(k)
			if err == nil {
				err = p.Same(ctx) // its address may be another's by now
			}
			if err != nil {
				return err
			}
			if err := m.fetchPolicy(ctx, p); err != nil {
				m.log.Debug("no policy from a process that was asked at the start",
					"process", k.Owner.String(), "err", err)
			}
			return m.fetch(ctx, k)
		})
	}
}

// askFirst puts a question that the start waits for.
func (m *Membership) askFirst(k Member, ask func(context.Context, Member) error) {
	m.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, newsLimit)
		defer cancel()
		err := ask(ctx, k)
		m.bootstrap.answered(k.Owner, err)
		if err != nil {
			m.log.Debug("no rules from a process that was asked at the start", "process", k.Owner.String(), "err", err)
		}
	})
}
