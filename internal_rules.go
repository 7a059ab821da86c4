package skerry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

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
