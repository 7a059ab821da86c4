package skerry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// How long this process waits for the disk of its state. Nothing but what must
// be kept before it counts waits for longer than diskMoment.
const (
	diskLimit  = 2 * time.Second        // less than others wait for a promise: see peerLimit
	diskMoment = 200 * time.Millisecond // for rules that are learnt: a call may have brought them
)

// errTaken says that two processes would write the same files.
var errTaken = errors.New("another process has taken this one's state files since their lock was removed: " +
	"start this process again, and leave the .lock files alone")

// onDisk does a job on state files.
func onDisk[T any](n *Node, job func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), diskLimit)
	defer cancel()
	return run.Read(ctx, &n.disk, job, nil)
}

// readState reads what writeState wrote; a file that is not there is an empty T.
func readState[T any](n *Node, path string) (T, error) {
	return onDisk(n, func() (v T, err error) {
		err = readJSON(path, &v)
		return v, err
	})
}

// writeState replaces a state file, as long as it is this process's own.
func (n *Node) writeState(path string, v any) error {
	_, err := onDisk(n, func() (none struct{}, err error) {
		if err := n.holdState(); err != nil {
			return none, err
		}
		return none, writeJSON(path, v)
	})
	return err
}

// findState is openStateDir for a disk that may hang.
func (n *Node) findState() stateFiles {
	ctx, cancel := context.WithTimeout(context.Background(), diskLimit)
	defer cancel()
	found := func() (stateFiles, error) { return n.openStateDir(), nil }
	f, err := run.Read(ctx, &n.disk, found, func(late stateFiles) { late.slot.free() })
	if err == nil {
		return f
	}
	n.log.Error("state is not kept until this process is started again: a start without any registry finds no process, "+
		"and no step of a release is promised where no database orders them", "state_dir", n.cfg.StateDir, "waited", diskLimit, "err", err)
	return stateFiles{hung: err}
}

// holdState looks whether the state files are still this process's own. It is a
// part of jobs on the disk.
func (n *Node) holdState() error {
	again, err := n.files.slot.hold()
	switch taken := errors.Is(err, errTaken); {
	case again:
		n.log.Warn("the lock of the state files was removed, and is there again: leave it where it is, or another process takes these files",
			"file", n.files.slot.base+".lock")
	case taken && !n.taken:
		n.log.Error("state is not kept any more", "file", n.files.slot.base+".lock", "err", err)
		n.taken = true
	}
	return err
}

// freeState lets another process have the files.
func (n *Node) freeState() {
	if n.files.slot.lock == nil {
		return
	}
	_, _ = onDisk(n, func() (none struct{}, err error) { // the end of the process frees them, too
		n.files.slot.free()
		return none, nil
	})
}

// keepRules has the rules that were learnt written down and waits a moment for
// it. What fails is tried again by rememberMembers.
func (n *Node) keepRules() {
	ctx, cancel := context.WithTimeout(context.Background(), diskMoment)
	defer cancel()
	_ = n.keeping.Do(ctx, func() error {
		err := n.rules.Keep()
		switch {
		case err != nil && !n.unkept:
			n.log.Warn("rules of versions are in use here and not kept: after a restart this process would have to learn them again; "+
				"they are kept as soon as the disk takes them", "file", n.files.rules, "err", err)
		case err == nil && n.unkept:
			n.log.Info("rules of versions are kept again", "file", n.files.rules)
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
