package shim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxTail is the most lines that a reader gets of what is there already.
const maxTail = 100_000

// tail returns, for the last lines of a log, the file where they begin (see logName) and the offset there.
func tail(dir string, lines int) (file int, offset int64, err error) {
	lines = min(lines, maxTail)
	for ; file < logFiles; file++ {
		f, err := os.OpenInRoot(dir, logName(file))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return 0, 0, err
		}
		if file == 0 && lines <= 0 {
			offset, err = f.Seek(0, io.SeekEnd)
			f.Close()
			return 0, offset, err
		}
		offset, lines, err = tailOf(f, lines)
		f.Close()
		if err != nil || lines == 0 {
			return file, offset, err
		}
	}
	return max(file-1, 0), 0, nil
}

// tailOf finds the beginning of the last lines of a file, and how many lines it lacks.
func tailOf(f *os.File, lines int) (offset int64, lacks int, err error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, 0, err
	}
	buf := make([]byte, 16<<10)
	for at := end; at > 0; {
		n := min(int64(len(buf)), at)
		at -= n
		if _, err := f.ReadAt(buf[:n], at); err != nil {
			return 0, 0, err
		}
		for i := n; i > 0; {
			i = int64(bytes.LastIndexByte(buf[:i], '\n'))
			if i < 0 {
				break
			}
			if at+i+1 == end { // the end of the last line
				continue
			}
			if lines--; lines == 0 {
				return at + i + 1, 0, nil
			}
		}
	}
	if end > 0 {
		lines-- // the first line has no line break before it
	}
	return 0, lines, nil
}

// follower reads a log from a place on, over rotations.
type follower struct {
	dir string
	l   *logger // nil: no shim writes it
	n   int     // number of the file f
	f   *os.File
}

// follow opens a log at its last lines. l may be nil.
func follow(dir string, l *logger, lines int) (*follower, error) {
	if l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
	}
	file, offset, err := tail(dir, lines)
	if err != nil {
		return nil, err
	}
	x := &follower{dir: dir, l: l, n: fileOf(l) - file}
	x.f, err = os.OpenInRoot(dir, logName(file))
	if errors.Is(err, fs.ErrNotExist) { // nothing was written yet
		return x, nil
	}
	if err == nil {
		_, err = x.f.Seek(offset, io.SeekStart)
	}
	return x, err
}

// fileOf is the number of the file that is written; the lock of l is held.
func fileOf(l *logger) int {
	if l == nil {
		return 0
	}
	return l.file
}

func (x *follower) close() {
	if x.f != nil {
		x.f.Close()
	}
}

// copy writes everything that is there, and returns a channel that is closed when there is more.
func (x *follower) copy(w io.Writer) (more <-chan struct{}, err error) {
	for {
		var newest int
		if x.l != nil {
			x.l.mu.Lock()
			more, newest = x.l.changed, x.l.file
			x.l.mu.Unlock()
		}
		if x.f != nil {
			if _, err := io.Copy(w, x.f); err != nil {
				return nil, err
			}
		}
		if x.f != nil && x.n >= newest {
			return more, nil
		}
		if opened, err := x.next(w); err != nil || !opened {
			return more, err
		}
	}
}

// next opens the file that follows the present one.
func (x *follower) next(w io.Writer) (opened bool, err error) {
	f, n, gone, err := x.after()
	if gone > 0 {
		_, told := fmt.Fprintf(w, "[skerry: %d files of the log were gone before they were read]\n", gone)
		err = errors.Join(err, told)
	}
	if f == nil || err != nil {
		return false, err
	}
	x.close()
	x.f, x.n = f, n
	return true, nil
}

// after finds the file that follows the present one. It writes nothing under the lock, because a reader may be slow.
func (x *follower) after() (f *os.File, n, gone int, err error) {
	newest := 0
	if x.l != nil {
		x.l.mu.Lock()
		defer x.l.mu.Unlock()
		newest = x.l.file
	}
	n = x.n
	if x.f != nil {
		n++
	}
	if oldest := newest - logFiles + 1; n < oldest {
		gone = oldest - n
		n = oldest
	}
	f, err = os.OpenInRoot(x.dir, logName(newest-n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, x.n, 0, nil
	}
	return f, n, gone, err
}

// run copies until ctx ends or, unless it follows, until the end of the log.
func (x *follower) run(ctx context.Context, w io.Writer, follows bool) error {
	defer func() { x.close() }()
	for {
		more, err := x.copy(w)
		if err != nil || !follows || more == nil {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}
