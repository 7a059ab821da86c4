package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/artifact"
)

// Outcome is how a run ended.
type Outcome string

const (
	Running   Outcome = "running"
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"  // a step, its time, the outputs, or the builder
	Refused   Outcome = "refused" // nothing was executed
)

// Result is what is said of a run.
type Result struct {
	ID      int       `json:"id"`     // of the builder
	Step    string    `json:"step"`   // build
	Target  string    `json:"target"` // SERVICE@COMMIT
	Outcome Outcome   `json:"outcome"`
	Why     string    `json:"why,omitempty"` // it failed or was refused
	Log     Log       `json:"log"`
	By      string    `json:"by"`
	Began   time.Time `json:"began"`
	Took    float64   `json:"took"` // seconds

	Service   string  `json:"service"`
	Repo      string  `json:"repo"`
	Commit    string  `json:"commit"`  // the whole hash, or what was asked for when it was not found
	Version   string  `json:"version"` // of the artifacts
	Sandbox   string  `json:"sandbox"` // bubblewrap, or why there is none
	Artifacts []Built `json:"artifacts"`
}

// Built is an artifact of a run.
type Built struct {
	Platform string          `json:"platform"`
	Digest   artifact.Digest `json:"digest"`
}

const (
	resultFile = "result.json"
	logFile    = "log"
	lockFile   = "lock"
	cancelFile = "cancel"
	tokenFile  = "token"

	interrupted = "the builder ended in the middle of it"
)

// slot is the directory of a run.
type slot struct {
	id  int
	dir string
}

func (b *Builder) slotOf(id int) slot {
	return slot{id, filepath.Join(b.dir, "builds", strconv.Itoa(id))}
}

func (s slot) file(name string) string { return filepath.Join(s.dir, name) }

// newSlot settles what is left of runs before, and makes the directory of the next one. The run lives as long as its
// lock is held.
func (b *Builder) newSlot(ctx context.Context, r *Result) (s slot, lock *os.File, err error) {
	all := filepath.Join(b.dir, "builds")
	if err := statedir.Make(all); err != nil {
		return s, nil, err
	}
	turn, err := waitLock(ctx, filepath.Join(all, lockFile)) // runs may begin at the same time
	if err != nil {
		return s, nil, err
	}
	defer turn.Close()
	if err := b.recoverRuns(); err != nil {
		return s, nil, fmt.Errorf("settle what builders before have left: %w", err)
	}
	ids, err := b.ids()
	if err != nil {
		return s, nil, err
	}
	s = b.slotOf(1)
	if len(ids) > 0 {
		s = b.slotOf(ids[0] + 1)
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return s, nil, err
	}
	if lock, err = statedir.Lock(s.file(lockFile)); err != nil {
		return s, nil, err
	}
	r.ID = s.id
	if err = errors.Join(s.write(*r), b.prune()); err != nil {
		return s, nil, errors.Join(err, lock.Close())
	}
	return s, lock, nil
}

// waitLock locks a file when it is free.
func waitLock(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := statedir.Lock(path)
		if !errors.Is(err, statedir.ErrLocked) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(cancelLook):
		}
	}
}

// ids are the numbers of the runs, the last one first.
func (b *Builder) ids() ([]int, error) {
	list, err := os.ReadDir(filepath.Join(b.dir, "builds"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []int
	for _, e := range list {
		if id, err := strconv.Atoi(e.Name()); err == nil && id > 0 && e.IsDir() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b int) int { return b - a })
	return ids, nil
}

// write replaces the result.
func (s slot) write(r Result) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return statedir.WriteFile(s.file(resultFile), append(text, '\n'))
}

func (s slot) read() (r Result, err error) {
	text, err := statedir.ReadFile(s.file(resultFile))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return Result{}, fmt.Errorf("the result of build %d: %w", s.id, err)
	}
	r.ID = s.id
	return r, nil
}

// lives reports whether the run still has its builder.
func (s slot) lives() bool {
	lock, err := statedir.Lock(s.file(lockFile))
	if err == nil {
		lock.Close()
	}
	return errors.Is(err, statedir.ErrLocked)
}

// Result returns one result.
func (b *Builder) Result(id int) (Result, error) {
	s := b.slotOf(id)
	if _, err := os.Stat(s.dir); err != nil {
		return Result{}, fmt.Errorf("there is no build %d; skerry build ls lists those that are kept", id)
	}
	r, err := s.read()
	if err == nil && r.Outcome == Running && !s.lives() {
		// It may have ended between both looks.
		if r, err = s.read(); err == nil && r.Outcome == Running {
			r.Outcome, r.Why = Failed, interrupted
		}
	}
	return r, err
}

// Results are those that are kept, the last one first. What can't be read is left out, and is an error beside the
// others.
func (b *Builder) Results() (all []Result, err error) {
	ids, err := b.ids()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		r, failed := b.Result(id)
		if errors.Is(failed, fs.ErrNotExist) { // it begins now, or is being removed
			continue
		}
		if err = errors.Join(err, failed); failed == nil {
			all = append(all, r)
		}
	}
	return all, err
}

// OpenLog opens the log of a run.
func (b *Builder) OpenLog(id int) (*os.File, error) {
	if _, err := b.Result(id); err != nil {
		return nil, err
	}
	return statedir.OpenPlain(b.slotOf(id).file(logFile))
}

// Cancel ends a run, and returns its result when all of its processes have ended.
func (b *Builder) Cancel(ctx context.Context, id int, by string) (Result, error) {
	r, err := b.Result(id)
	if err != nil {
		return r, err
	}
	if r.Outcome != Running {
		return r, fmt.Errorf("build %d has ended: it %s", id, r.Outcome)
	}
	s := b.slotOf(id)
	if err := statedir.WriteFile(s.file(cancelFile), []byte(by)); err != nil {
		return r, err
	}
	tick := time.NewTicker(cancelLook)
	defer tick.Stop()
	for s.lives() {
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-tick.C:
		}
	}
	return b.Result(id)
}

// prune removes the oldest results that are too many.
func (b *Builder) prune() error {
	ids, err := b.ids()
	if err != nil || len(ids) <= b.config.Keep {
		return err
	}
	for _, id := range ids[b.config.Keep:] {
		if s := b.slotOf(id); !s.lives() {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	return err
}

// recoverRuns settles what builders before have left: results, processes and files.
func (b *Builder) recoverRuns() error {
	ids, err := b.ids()
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, id := range ids {
		s := b.slotOf(id)
		r, failed := s.read()
		if failed != nil || r.Outcome != Running {
			continue
		}
		lock, failed := statedir.Lock(s.file(lockFile))
		if failed != nil {
			kept[strconv.Itoa(id)] = true
			continue
		}
		if token, failed := statedir.ReadFile(s.file(tokenFile)); failed == nil {
			err = errors.Join(err, sweep(string(token)))
		}
		r.Outcome, r.Why = Failed, interrupted
		err = errors.Join(err, s.write(r), lock.Close())
	}
	list, failed := os.ReadDir(filepath.Join(b.dir, "work"))
	if failed != nil && !errors.Is(failed, fs.ErrNotExist) {
		return errors.Join(err, failed)
	}
	for _, e := range list {
		if !kept[e.Name()] {
			err = errors.Join(err, removeAll(filepath.Join(b.dir, "work", e.Name())))
		}
	}
	return err
}
