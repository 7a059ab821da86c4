package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/state"
)

// diskMoment is how long rules that are learnt wait for the disk: a call may
// have brought them.
const diskMoment = 200 * time.Millisecond

// ruleKeeper writes the rules down, once at a time.
type ruleKeeper struct {
	disk   run.Disk
	unkept bool // the log knows that rules are not kept; for jobs of disk
}

// newAgent makes the process's part in rollouts, with the rules that it kept
// when it ran before. They are checked like what comes by the network: what is
// not believed is put aside, and learnt again from others.
func (m *Membership) newAgent() *participant.Agent {
	cfg := participant.Config{
		Process:  m.cfg.Owner.String(),
		Cluster:  m.cfg.Cluster,
		Trust:    m.cfg.Trust,
		OnTooOld: m.sayTooOld,
		OnLearnt: m.keepRules,
	}
	unread := m.readRules(&cfg)
	a, aside := participant.New(cfg)
	if aside = errors.Join(unread, aside); aside != nil {
		kept, err := m.cfg.Files.Aside(state.Rules)
		if err != nil {
			kept = err.Error()
		}
		m.log.Warn("kept rules of versions are not believed, and are learnt again from others",
			"file", m.cfg.Files.Path(state.Rules), "aside", kept, "err", aside)
	}
	a.OnMissingRules(m.askNewer)
	return a
}

// readRules fills in what was saved, and how it is saved from now on.
func (m *Membership) readRules(cfg *participant.Config) (unread error) {
	files := m.cfg.Files
	hung := files.Hung()
	if file := files.Path(state.Rules); file != "" {
		cfg.Saved, unread = state.Do(files, func() (participant.Saved, error) { return readSaved(file) })
		if errors.Is(unread, run.ErrDiskHangs) {
			hung, unread = unread, nil
		}
		if others := files.NeighbourRules(); others != "" {
			theirs, err := state.Do(files, func() (participant.Saved, error) { return readSaved(others) })
			if err == nil {
				cfg.Saved.Records, cfg.Saved.Tip = theirs.Records, theirs.Tip
			}
		}
		cfg.Save = func(s participant.Saved) error { return files.Write(state.Rules, s) }
	}
	if hung != nil {
		cfg.Save = func(participant.Saved) error { return unkeepable(hung) }
	}
	return unread
}

func (m *Membership) sayTooOld(last rollout.Generation, needs []string) {
	m.log.Error("skerry is too old here for the newest rules: this process goes on by those before, "+
		"and calls that take the new ones are refused (rules_needed)", "generation", last.String(), "lacks", needs,
		"do", "upgrade this program to a later version of skerry, and start it again")
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

// keepRules has the rules that were learnt written down and waits a moment for
// it. What fails is tried again by remember.
func (m *Membership) keepRules() {
	ctx, cancel := context.WithTimeout(context.Background(), diskMoment)
	defer cancel()
	k, file := &m.keeper, m.cfg.Files.Path(state.Rules)
	_ = k.disk.Do(ctx, func() error {
		err := m.rules.Persist()
		switch {
		case err != nil && !k.unkept:
			m.log.Warn("rules of versions are in use here and not kept: after a restart this process would have to "+
				"learn them again; they are kept as soon as the disk takes them", "file", file, "err", err)
		case err == nil && k.unkept:
			m.log.Info("rules of versions are kept again", "file", file)
		}
		k.unkept = err != nil
		return err
	}, nil)
}

// unkeepable is why nothing is saved by a process that could not read what it has
// promised before: it must promise nothing.
func unkeepable(because error) error {
	return fmt.Errorf("this process could not read its state when it started, so it promises nothing until it is "+
		"started again: %w", because)
}
