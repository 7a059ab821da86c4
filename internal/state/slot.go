package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// ErrTaken: two processes would write the same files.
var ErrTaken = errors.New("another process has taken this one's state files since their lock was removed: " +
	"start this process again, and leave the .lock files alone")

// maxSlots bounds the processes of one program and service that keep state on one host at the same
// time.
const maxSlots = 64

// slot is a set of state files that belongs to one process at a time. A process takes the free slot
// whose last process was most like it, so that a restarted process finds the slot of its previous
// run; see mark. The end of a process always frees its lock.
type slot struct {
	base string // common part of its files' names
	lock *lock  // nil on a file system without locks
}

// lock is the locked file.
type lock struct {
	mu   sync.Mutex
	file *os.File // nil: freed
}

// takeSlot locks the free slot of a name in a directory that is most likely this process's own. On a
// file system without locks the first slot is shared, and err says so.
func takeSlot(dir, name string, m mark) (slot, error) {
	for _, s := range m.likeliest(dir, name) {
		file, err := statedir.Lock(s.base + ".lock")
		switch {
		case err == nil:
			s.lock = &lock{file: file}
			m.leave(s)
			return s, nil
		case isUnsafe(err):
			return slot{}, err
		case !errors.Is(err, statedir.ErrLocked):
			return slot{base: filepath.Join(dir, name)}, fmt.Errorf("lock %s.lock: %w", s.base, err)
		}
	}
	return slot{}, fmt.Errorf("%d processes of %s keep state in %s already", maxSlots, name, dir)
}

// isUnsafe reports whether another user may have changed a file.
func isUnsafe(err error) bool {
	_, ok := errors.AsType[*statedir.UnsafeError](err)
	return ok
}

// slotName is the name of the i-th slot's files.
func slotName(name string, i int) string {
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, i+1)
}

// free frees the slot for another process.
func (s slot) free() {
	if s.lock == nil {
		return
	}
	s.lock.mu.Lock()
	defer s.lock.mu.Unlock()
	if s.lock.file != nil {
		s.lock.file.Close()
		s.lock.file = nil
	}
}

// hold checks that the files are still this process's own. It makes a removed lock again. The error
// is ErrTaken if another process was faster.
func (s slot) hold() (again bool, err error) {
	if s.lock == nil {
		return false, nil
	}
	s.lock.mu.Lock()
	defer s.lock.mu.Unlock()
	path := s.base + ".lock"
	if s.lock.file == nil || statedir.Holds(s.lock.file, path) {
		return false, nil
	}
	file, err := statedir.Lock(path)
	if errors.Is(err, statedir.ErrLocked) {
		return false, ErrTaken
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", path, err)
	}
	s.lock.file.Close()
	s.lock.file = file
	return true, nil
}

// path names a file of the slot.
func (s slot) path(kind Kind) string { return s.base + string(kind) }

// newest is the newest file of a kind from processes of the same name, for a process without that
// file in its slot. It is "" if there is none either.
func newest(dir, name string, kind Kind) string {
	var path string
	var when time.Time
	for i := range maxSlots {
		other := filepath.Join(dir, slotName(name, i)) + string(kind)
		if info, err := statedir.Stat(other); err == nil && info.ModTime().After(when) {
			path, when = other, info.ModTime()
		}
	}
	return path
}
