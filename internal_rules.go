package skerry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/release"
	"github.com/skerry/skerry/rollout"
)

// Codes of wire.RulesRefused, and what they stand for.
var refusals = map[string]error{
	"gap":      rollout.ErrGap,
	"fork":     rollout.ErrFork,
	"promised": rollout.ErrPromised,
	"database": release.ErrElsewhere,
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

// Promise accepts what an operator is about to commit, where no database
// orders the log: two writers would fork it.
func (s *internalService) Promise(_ context.Context, text []byte, by string) error {
	if s.node.database() != nil {
		return s.refuse(fmt.Errorf("%s keeps the rules in a database: %w", s.node.rules.Process(), release.ErrElsewhere))
	}
	return s.withEntry(text, func(e rollout.Entry) error { return s.node.rules.Promise(e, by) })
}

// Abandon takes a promise back.
func (s *internalService) Abandon(_ context.Context, text []byte, by string) error {
	return s.withEntry(text, func(e rollout.Entry) error { return s.node.rules.Abandon(e, by) })
}

// Bar gives up what an operator was about to commit.
func (s *internalService) Bar(_ context.Context, text []byte) error {
	return s.withEntry(text, s.node.rules.Bar)
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

// Served counts the calls that this process has served and made, of every
// service that has versions.
func (s *internalService) Served(_ context.Context, slowMs int64, slowMsOf map[string]int64) ([]*wire.Served, error) {
	counts := map[health.Key]*wire.Served{}
	s.node.stats.Visit(func(row health.Row, within func(time.Duration) int64) {
		if row.Version == "" || hidden(row.Service) {
			return
		}
		k := health.Key{Side: row.Side, Service: row.Service, Version: row.Version}
		if row.Side == health.Client {
			k.Peer = row.Peer
		}
		slow := slowMs
		if own, ok := slowMsOf[row.Service]; ok {
			slow = own
		}
		if counts[k] == nil {
			counts[k] = newServed(k)
		}
		count(counts[k], &row, row.Calls()-within(time.Duration(slow)*time.Millisecond))
	})
	return slices.AppendSeq(make([]*wire.Served, 0, len(counts)), maps.Values(counts)), nil
}

func newServed(k health.Key) *wire.Served {
	w := &wire.Served{Name: k.Service, Version: &k.Version, Kinds: map[string]int64{}}
	if k.Side == health.Client {
		w.Peer = &k.Peer
	}
	return w
}

func count(into *wire.Served, row *health.Row, slow int64) {
	into.Calls += row.Calls()
	into.Failures += row.Failures()
	into.Slow += max(0, slow)
	for o, n := range row.Outcomes {
		if kind := health.Outcome(o); n > 0 && kind.Failed() {
			into.Kinds[kind.String()] += n
		}
	}
}

// Sees tells which versions of services this process could call. Those that it
// has not called yet are looked for from now on, as it is about to; see sight.
func (s *internalService) Sees(_ context.Context, services []string) (map[string][]string, error) {
	if len(services) > sightMost {
		return nil, fmt.Errorf("%d services are asked for at once, at most %d are allowed", len(services), sightMost)
	}
	out := map[string][]string{}
	for _, service := range services {
		if !s.sight.begin(s.node.lists, service) {
			continue
		}
		for _, e := range s.node.lists.Explain(service) {
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
