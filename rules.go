package skerry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/rollout"
)

// newAgent makes the process's part in rollouts, with the rules that it kept
// when it ran before. Rules that can't be read are learnt again from others.
func (n *Node) newAgent() (*rollout.Agent, error) {
	var saved rollout.Saved
	save := func(rollout.Saved) error { return nil }
	if file := n.files.rules; file != "" {
		if err := readJSON(file, &saved); err != nil {
			n.log.Warn("the kept rules of versions can't be read; they are learnt again from others", "err", err)
			saved = rollout.Saved{}
		}
		if n.files.others != "" {
			var theirs rollout.Saved
			if err := readJSON(n.files.others, &theirs); err == nil {
				saved.Entries = theirs.Entries
			}
		}
		save = func(s rollout.Saved) error { return writeJSON(file, s) }
	}
	a, err := rollout.NewAgent(n.owner.String(), saved, save)
	if err != nil {
		n.log.Warn("the kept rules of versions are no log; they are learnt again from others", "err", err)
		a, err = rollout.NewAgent(n.owner.String(), rollout.Saved{}, save)
	}
	if err == nil {
		a.AskBy(n.askNewer)
	}
	return a, err
}

// learn applies what the database has committed.
func (n *Node) learn(entries []rollout.Entry) {
	defer n.cold.read()
	if len(entries) == 0 {
		return
	}
	if err := n.rules.Learn(entries...); err != nil {
		n.log.Error("rules of the database not applied; if it was restored from an older copy, an operator adopts the rules that are in use", "err", err)
		return
	}
	n.log.Info("rules applied", "generation", n.rules.Log().Last().String())
}

// readJSON reads what writeJSON wrote; a file that is not there changes nothing.
func readJSON(path string, into any) error {
	text, err := statedir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return statedir.WriteFile(path, text)
}
