package skerry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/registry/postgres"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/participant"
)

// newAgent makes the process's part in rollouts, with the rules that it kept
// when it ran before. They are checked like what comes by the network: what is
// not believed is put aside, and learnt again from others.
func (n *Node) newAgent() *participant.Agent {
	cfg := participant.Config{Process: n.owner.String(), Cluster: n.cfg.Cluster, Trust: n.trust}
	cfg.OnTooOld = func(last rollout.Generation, needs []string) {
		n.log.Error("skerry is too old here for the newest rules: this process goes on by those before, and calls that take the new ones are refused (rules_needed)",
			"generation", last.String(), "lacks", needs, "do", "upgrade this program to a later version of skerry, and start it again")
	}
	var unread error
	cfg.OnLearnt = n.keepRules
	hung := n.files.Hung()
	if file := n.files.Path(state.Rules); file != "" {
		cfg.Saved, unread = state.Do(n.files, func() (participant.Saved, error) { return readSaved(file) })
		if errors.Is(unread, run.ErrDiskHangs) {
			hung, unread = unread, nil
		}
		if others := n.files.NeighbourRules(); others != "" {
			if theirs, err := state.Do(n.files, func() (participant.Saved, error) { return readSaved(others) }); err == nil {
				cfg.Saved.Records, cfg.Saved.Tip = theirs.Records, theirs.Tip
			}
		}
		cfg.Save = func(s participant.Saved) error { return n.files.Write(state.Rules, s) }
	}
	if hung != nil {
		cfg.Save = func(participant.Saved) error { return unkeepable(hung) }
	}
	a, aside := participant.New(cfg)
	if aside = errors.Join(unread, aside); aside != nil {
		kept, err := n.files.Aside(state.Rules)
		if err != nil {
			kept = err.Error()
		}
		n.log.Warn("kept rules of versions are not believed, and are learnt again from others", "file", n.files.Path(state.Rules), "aside", kept, "err", aside)
	}
	a.OnMissingRules(n.askNewer)
	return a
}

// readSaved reads a process's rules file.
func readSaved(file string) (s participant.Saved, err error) {
	var text struct {
		participant.Saved
		Entries json.RawMessage `json:"entries"`
	}
	err = state.ReadJSON(file, &text)
	if err == nil && text.Entries != nil {
		err = fmt.Errorf("%s is of skerry before 0.2", file)
	}
	return text.Saved, err
}

// learn applies what the database has committed.
func (n *Node) learn(entries []rollout.Entry) {
	defer n.cold.read()
	if len(entries) == 0 {
		return
	}
	if err := n.rules.Learn(entries...); err != nil {
		if db := n.database(); db != nil && errors.Is(err, rollout.ErrFork) {
			n.learnWhole(db)
			return
		}
		if errors.Is(err, rollout.ErrNeeds) {
			return // said once: see newAgent
		}
		n.log.Error("rules of the database not applied", "err", err)
		return
	}
	n.log.Info("rules applied", "generation", n.rules.Log().Last().String())
}

// learnWhole reads the database's whole log, when it has parted from the one
// here: one of its entries may end that.
func (n *Node) learnWhole(db *postgres.Registry) {
	n.lookout.Go(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, peerLimit)
		defer cancel()
		if err := n.learnFrom(ctx, db.Rules().Since); err != nil && ctx.Err() == nil {
			n.log.Error("rules of the database not applied: its log is not the one that this process goes by; an operator adopts one of them (skerry release adopt)", "err", err)
		}
		return nil
	})
}
