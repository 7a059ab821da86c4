package skerry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rollout"
)

// Codes of wire.RulesRefused, and what they stand for.
var refusals = map[string]error{
	"gap":      rollout.ErrGap,
	"fork":     rollout.ErrFork,
	"promised": rollout.ErrPromised,
	"invalid":  rollout.ErrRule,
}

// RulesSince gives a peer what it lacks of the rules.
func (s *internalService) RulesSince(_ context.Context, generation string) ([][]byte, error) {
	g, err := rollout.ParseGeneration(generation)
	if err != nil {
		return nil, err
	}
	return marshalEntries(s.node.rules.Since(g))
}

// LearnRules takes committed rules from a peer.
func (s *internalService) LearnRules(_ context.Context, texts [][]byte) (string, error) {
	entries, err := unmarshalEntries(texts)
	if err == nil {
		err = s.node.rules.Learn(entries...)
	}
	if err != nil {
		return "", s.refuse(err)
	}
	return s.node.rules.Log().Last().String(), nil
}

// Promise accepts what an operator is about to commit.
func (s *internalService) Promise(_ context.Context, text []byte) error {
	return s.withEntry(text, s.node.rules.Promise)
}

// Abandon takes a promise back.
func (s *internalService) Abandon(_ context.Context, text []byte) error {
	return s.withEntry(text, s.node.rules.Abandon)
}

func (s *internalService) withEntry(text []byte, do func(rollout.Entry) error) error {
	entries, err := unmarshalEntries([][]byte{text})
	if err == nil {
		err = do(entries[0])
	}
	if err != nil {
		return s.refuse(err)
	}
	return nil
}

// Promised is what waits for its commit.
func (s *internalService) Promised(context.Context) ([]byte, error) {
	e := s.node.rules.Promised()
	if e == nil {
		return []byte{}, nil
	}
	return json.Marshal(e)
}

// Report answers a round of a drain, at once when nothing is to be named.
func (s *internalService) Report(ctx context.Context, round int64, before string, waitMs int64) ([]byte, error) {
	g, err := rollout.ParseGeneration(before)
	if err != nil {
		return nil, err
	}
	if wait := min(time.Duration(waitMs)*time.Millisecond, peerLimit); wait > 0 {
		ctx, cancel := context.WithTimeout(ctx, wait)
		_ = s.node.rules.AwaitEnd(ctx, g) // in vain: the report says so
		cancel()
	}
	r := s.node.rules.Report(rollout.Question{Round: uint64(round), Until: g})
	r.Place = s.node.place
	s.node.ages.fill(r.Held, time.Now())
	return json.Marshal(r)
}

// Served counts what this process did as callee.
func (s *internalService) Served(_ context.Context, slowMs int64) ([]*wire.Served, error) {
	slow, counts := time.Duration(slowMs)*time.Millisecond, map[string]*wire.Served{}
	s.node.offers.each(func(o *offer) {
		version := o.entries[0].Version
		counts[o.service] = &wire.Served{Name: o.service, Version: &version}
	})
	s.node.stats.Visit(func(row health.Row, within func(time.Duration) int64) {
		c := counts[row.Service]
		if row.Side != health.Server || c == nil {
			return
		}
		calls := row.Calls()
		c.Calls += calls
		c.Failures += row.Failures()
		c.Slow += max(0, calls-within(slow))
	})
	out := make([]*wire.Served, 0, len(counts))
	for _, c := range counts {
		out = append(out, c)
	}
	return out, nil
}

// Sees tells which versions of services this process could call.
func (s *internalService) Sees(_ context.Context, services []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, service := range services {
		for _, e := range s.node.Explain(service) {
			if e.State != discovery.Gone && !slices.Contains(out[service], e.Version) {
				out[service] = append(out[service], e.Version)
			}
		}
	}
	return out, nil
}

// refuse says by a code what the caller is to do.
func (s *internalService) refuse(err error) error {
	log := s.node.rules.Log()
	r := &wire.RulesRefused{Code: "disk", Message: err.Error(), Applied: log.Last().String(), Hash: log.Hash()}
	for code, known := range refusals {
		if errors.Is(err, known) {
			r.Code = code
		}
	}
	return r
}

// refused turns a refusal back into the error that it was.
func refused(err error) error {
	if r, ok := errors.AsType[*wire.RulesRefused](err); ok {
		if known := refusals[r.Code]; known != nil {
			return fmt.Errorf("%s: %w", r.Message, known)
		}
		return errors.New(r.Message)
	}
	return err
}

func marshalEntries(entries []rollout.Entry) ([][]byte, error) {
	out := make([][]byte, len(entries))
	for i, e := range entries {
		text, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		out[i] = text
	}
	return out, nil
}

func unmarshalEntries(texts [][]byte) ([]rollout.Entry, error) {
	out := make([]rollout.Entry, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal(text, &out[i]); err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", rollout.ErrRule, i, err)
		}
	}
	return out, nil
}
