package skerry

import (
	"context"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/state"
)

// diskMoment is how long rules that are learnt wait for the disk: a call may
// have brought them.
const diskMoment = 200 * time.Millisecond

// keepRules has the rules that were learnt written down and waits a moment for
// it. What fails is tried again by rememberMembers.
func (n *Node) keepRules() {
	ctx, cancel := context.WithTimeout(context.Background(), diskMoment)
	defer cancel()
	_ = n.keeping.Do(ctx, func() error {
		err := n.rules.Persist()
		switch {
		case err != nil && !n.unkept:
			n.log.Warn("rules of versions are in use here and not kept: after a restart this process would have to learn them again; "+
				"they are kept as soon as the disk takes them", "file", n.files.Path(state.Rules), "err", err)
		case err == nil && n.unkept:
			n.log.Info("rules of versions are kept again", "file", n.files.Path(state.Rules))
		}
		n.unkept = err != nil
		return err
	}, nil)
}

// unkeepable is why nothing is saved by a process that could not read what it has
// promised before: it must promise nothing.
func unkeepable(because error) error {
	return fmt.Errorf("this process could not read its state when it started, so it promises nothing until it is started again: %w", because)
}
