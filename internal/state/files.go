package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/statedir"
)

const (
	// Limit is how long a caller waits for one job on the disk. It is shorter than the wait of
	// other processes for a promise.
	Limit = 2 * time.Second
	// OpenLimit is how long Open waits for the disk, and the first reads after it. It allows for a
	// late disk on a busy machine: otherwise the process would run without state until its next
	// start.
	OpenLimit = 7 * time.Second
)

// Open finds the files of this process.
func Open(c Config) *Files {
	f := &Files{log: c.Log, begun: time.Now()}
	f.open(c, func() (found, error) { return find(c), nil })
	return f
}

func (f *Files) open(c Config, find func() (found, error)) {
	ctx, cancel := f.patience()
	defer cancel()
	got, err := run.Read(ctx, &f.disk, find, func(late found) { late.slot.free() })
	f.slot, f.from, f.hung = got.slot, got.from, err
	if err != nil {
		f.log.Error("state is not kept until this process is started again: a start without any registry finds "+
			"no process, and no step of a release is promised where no database orders them",
			"state_dir", c.Dir, "waited", OpenLimit, "err", err)
	}
}

// Started ends the longer limit of the start: jobs have [Limit] from here on.
func (f *Files) Started() { f.started.Store(true) }

// patience bounds a job: by Limit, and at the start by the rest of OpenLimit.
func (f *Files) patience() (context.Context, context.CancelFunc) {
	limit := Limit
	if !f.started.Load() {
		limit = max(Limit, OpenLimit-time.Since(f.begun))
	}
	return context.WithTimeout(context.Background(), limit)
}

// Hung is the error of a disk that did not answer when the process started; nil otherwise.
func (f *Files) Hung() error {
	if f == nil {
		return nil
	}
	return f.hung
}

// Path names a file, "" if nothing is kept.
func (f *Files) Path(kind Kind) string {
	if f == nil || f.slot.base == "" {
		return ""
	}
	return f.slot.path(kind)
}

// Close frees the files for another process.
func (f *Files) Close() {
	if f == nil || f.slot.lock == nil {
		return
	}
	_, _ = Do(f, func() (none struct{}, err error) { // the end of the process also frees them
		f.slot.free()
		return none, nil
	})
}

// NeighbourRules is a neighbour's file of rules, for a process without rules; "" when there is
// none, or no need.
func (f *Files) NeighbourRules() string {
	if f == nil {
		return ""
	}
	return f.from
}

// Do runs a job on the disk, and gives up waiting for it at the limit with [run.ErrDiskHangs].
func Do[T any](f *Files, job func() (T, error)) (T, error) {
	ctx, cancel := f.patience()
	defer cancel()
	return run.Read(ctx, &f.disk, job, nil)
}

// Read reads the value of Write. A missing file, or one that is not kept, gives an empty T.
func Read[T any](f *Files, kind Kind) (v T, err error) {
	path := f.Path(kind)
	if path == "" {
		return v, nil
	}
	return Do(f, func() (v T, err error) {
		err = ReadJSON(path, &v)
		return v, err
	})
}

// Write replaces a file if it is still this process's own. If nothing is kept it does nothing.
func (f *Files) Write(kind Kind, v any) error {
	path := f.Path(kind)
	if path == "" {
		return nil
	}
	_, err := Do(f, func() (none struct{}, err error) {
		if err := f.hold(); err != nil {
			return none, err
		}
		return none, writeJSON(path, v)
	})
	return err
}

// Aside renames a file that is not believed to the ending ".aside", and returns its new name.
func (f *Files) Aside(kind Kind) (name string, err error) {
	path := f.Path(kind)
	if path == "" {
		return "", nil
	}
	return Do(f, func() (string, error) {
		name := filepath.Base(path) + ".aside"
		return name, statedir.Rename(path, name)
	})
}

// Hold checks whether the files are still this process's own, and logs a problem.
func (f *Files) Hold() {
	if f == nil {
		return
	}
	_, _ = Do(f, func() (none struct{}, err error) { return none, f.hold() })
}

// hold is the part of Hold that runs as a job on the disk.
func (f *Files) hold() error {
	again, err := f.slot.hold()
	file := f.slot.base + ".lock"
	switch taken := errors.Is(err, ErrTaken); {
	case again:
		f.log.Warn("the lock of the state files was removed, and is there again: leave it where it is, "+
			"or another process takes these files", "file", file)
	case taken && !f.taken:
		f.log.Error("state is not kept any more", "file", file, "err", err)
		f.taken = true
	}
	return err
}

// ReadJSON reads a JSON file below a state directory. A missing file changes nothing.
func ReadJSON(path string, into any) error {
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
