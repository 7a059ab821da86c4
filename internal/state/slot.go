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

// ErrTaken says that two processes would write the same files.
var ErrTaken = errors.New("another process has taken this one's state files since their lock was removed: " +
	"start this process again, and leave the .lock files alone")

// maxSlots bounds how many processes of one program and service keep state
// side by side on one host.
const maxSlots = 64

// slot is a set of state files that belongs to one process at a time. Several
// processes of one program take the first ones that are free, so that a
// process that is started again finds what the one before it has left, however
// that ended: the system lets go of the lock with the process.
type slot struct {
	base string // of the names of its files
	lock *lock  // nil where the file system knows none
}

// lock is the file that is locked.
type lock struct {
	mu   sync.Mutex
	file *os.File // nil: freed
}

// takeSlot locks the first free slot of a name in a directory. Where the file
// system knows no locks the first one is shared, and err says so.
func takeSlot(dir, name string) (slot, error) {
	for i := range maxSlots {
		s := slot{base: filepath.Join(dir, slotName(name, i))}
		file, err := statedir.Lock(s.base + ".lock")
		switch {
		case err == nil:
			s.lock = &lock{file: file}
			return s, nil
		case isUnsafe(err):
			return slot{}, err
		case !errors.Is(err, statedir.ErrLocked):
			return slot{base: filepath.Join(dir, name)}, fmt.Errorf("lock %s.lock: %w", s.base, err)
		}
	}
	return slot{}, fmt.Errorf("%d processes of %s keep state in %s already", maxSlots, name, dir)
}

// isUnsafe reports whether another user may have a hand in a file.
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

// free lets another process have the slot.
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

// hold sees to it that the files are still this process's own. When the lock
// was removed it is made again; ErrTaken when another process was faster.
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

// newest is the file of a kind that a process of the same name wrote last: what
// it says is better than nothing for a process with a slot that has none. It is
// "" when there is none either.
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
