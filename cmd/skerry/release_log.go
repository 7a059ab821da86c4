package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
)

func (a *app) releaseLogCommand(f *releaseFlags) *cobra.Command {
	last, verify := 0, false
	c := &cobra.Command{
		Use:   "log",
		Short: "Show the steps of all releases: when, by which operator, and what",
		Args:  cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			s, err := to.State(ctx)
			if err != nil {
				return err
			}
			if n := len(s.Trail) - last; last > 0 && n > 0 {
				s.Trail, s.Signers = s.Trail[n:], s.Signers[n:]
			}
			if verify {
				return a.printVerified(s)
			}
			return a.printLog(s.Trail)
		}),
	}
	c.Flags().IntVarP(&last, "last", "n", 0, "only the last `N` steps")
	c.Flags().BoolVar(&verify, "verify", false, "also the key that has signed each step; exit code 1 when the last "+
		"one is not trusted")
	return c
}

// verified is a step with the operator that has signed it.
type verified struct {
	Entry  rollout.Entry  `json:"entry"`
	Record rollout.Record `json:"record"` // the signed bytes, and the proofs
	Hash   string         `json:"hash"`
	Signer string         `json:"signer,omitempty"`
	Why    string         `json:"why,omitempty"` // reason why none of its signatures counts
	Obeyed bool           `json:"obeyed"`        // a key that is trusted now has signed it, or one after it
}

func (a *app) printVerified(s releases.Site) error {
	rows, steps, last := [][]string{}, []verified{}, error(nil)
	for i, e := range s.Trail {
		v := verified{Entry: e, Record: e.Record(), Hash: e.Hash(), Signer: s.Signers[i].Name, Obeyed: !s.Unvouched(i)}
		signedBy := v.Signer
		if err := s.Signers[i].Err; err != nil {
			v.Signer, v.Why = "", err.Error()
			if signedBy = "vouched for by a later step"; !v.Obeyed {
				signedBy, last = "NOT OBEYED: "+v.Why, &exitError{exitProblem, nil}
			}
		}
		steps = append(steps, v)
		rows = append(rows, []string{
			e.Generation.String(), e.Hash()[:12], orDash(e.By), strings.TrimSpace(e.Step), signedBy,
		})
	}
	if a.flags.json {
		if err := a.printJSON(steps); err != nil {
			return err
		}
		return last
	}
	a.printTable([]string{" GENERATION", "HASH", "BY", "STEP", "SIGNED BY"}, rows)
	return last
}

// logged is a step in `skerry release log --json`: the fields of an entry that this version
// knows, and the entry itself, byte for byte.
type logged struct {
	rollout.Entry
	Hash   string         `json:"hash"`
	Record rollout.Record `json:"record"`
}

func (a *app) printLog(entries []rollout.Entry) error {
	if a.flags.json {
		steps := []logged{}
		for _, e := range entries {
			steps = append(steps, logged{e, e.Hash(), e.Record()})
		}
		return a.printJSON(steps)
	}
	if len(entries) == 0 {
		a.printf("Nothing was released yet.\n")
		return nil
	}
	var rows [][]string
	for _, e := range entries {
		when := "-"
		if !e.At.IsZero() {
			when = e.At.Local().Format(time.DateTime)
		}
		rows = append(rows, []string{
			e.Generation.String(), when, orDash(e.By), orDash(e.Release), strings.TrimSpace(e.Step),
		})
	}
	a.printTable([]string{" GENERATION", "WHEN", "BY", "RELEASE", "STEP"}, rows)
	return nil
}
