package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/statedir"
)

// State reports whether the last known lists can be kept on disk.
func State(dir string) []Finding {
	l := List{Area: "State"}
	if noDir(dir) {
		l.Hint("set state_dir to a directory that outlives a restart",
			"nothing is kept: a start without any registry knows no other process")
		return l.All
	}
	if err := statedir.Check(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		do := quote.Safe("make it a directory that belongs to the user of the service alone, or set state_dir")
		if unsafe, ok := errors.AsType[*statedir.UnsafeError](err); ok {
			do = quote.Sprintf("%s, as root; run skerry doctor as the user of the service; until then the service "+
				"keeps no state", unsafe.Mend)
		}
		l.Problem(do, "%v", err)
		return l.All
	}
	if err := writable(dir); err != nil {
		l.Problem("make it writable for the user that the service runs as, or set state_dir",
			"%s can't be written to: %v", dir, err)
	} else {
		l.Fine("%s can be written to", dir)
	}
	return l.All
}

func noDir(dir string) bool { return dir == "" || dir == "none" }

// writable tries to write below dir. For a missing directory it tries the nearest
// existing parent.
func writable(dir string) error {
	dir, err := existing(dir)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".skerry-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// existing returns a directory, or its nearest parent that is there.
func existing(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no directory", dir)
		}
		return dir, err
	}
}

// A disk is nearly full below either part of its size in percent, and full below either of the lesser ones.
const (
	littleSpace, noSpace        = 10, 1
	littleBytes, noBytes uint64 = 1 << 30, 64 << 20
)

// Disk reports whether the disk of the state directory has space.
func Disk(dir string) []Finding {
	l := List{Area: "Disk"}
	if noDir(dir) {
		return nil
	}
	dir, err := existing(dir)
	if err != nil {
		return nil // State reports the error
	}
	free, all, err := space(dir)
	if errors.Is(err, errors.ErrUnsupported) || all == 0 {
		return nil
	}
	if err != nil {
		l.Problem("see whether the disk answers", "the disk of %s can't be looked at: %v", dir, err)
		return l.All
	}
	l.describeDisk(dir, free, all)
	return l.All
}

func (l *List) describeDisk(dir string, free, all uint64) {
	what := quote.Sprintf("%s of %s are free on the disk of %s", size(free), size(all), dir)
	const do = "make room: what a process can't write, it does not know after a restart"
	switch part := free * 100 / all; {
	case part < noSpace || free < min(noBytes, all/5):
		l.Problem(do, "%s", what)
	case part < littleSpace && free < littleBytes*10 || free < min(littleBytes, all/5):
		l.Hint(do, "%s", what)
	default:
		l.Fine("%s", what)
	}
}
