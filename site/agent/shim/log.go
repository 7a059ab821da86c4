package shim

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// The bounds of a log.
const (
	logFiles = 4
	logSize  = 16 << 20
	logQueue = 256 << 10 // bytes that wait for the disk
)

// logName is the file of a log; 0 is the one that is written.
func logName(i int) string {
	if i == 0 {
		return "log"
	}
	return fmt.Sprintf("log.%d", i)
}

// logger writes lines into the files of a log. add never waits for the disk.
type logger struct {
	dir  string
	size int64 // of a file; tests have smaller ones
	done chan struct{}

	mu      sync.Mutex
	ready   sync.Cond     // a line waits, or the end
	changed chan struct{} // closed after a write
	pending []byte        // whole lines
	lines   int           // dropped since the last notice
	bytes   int64
	total   int64 // bytes dropped ever
	why     error // of the last drop by the disk
	file    int   // number of the file that is written; each rotation adds 1
	closed  bool

	// of the writer only
	f       *os.File
	written int64
	spare   []byte
}

func newLogger(dir string) *logger {
	l := &logger{dir: dir, size: logSize, done: make(chan struct{}), changed: make(chan struct{})}
	l.ready.L = &l.mu
	return l
}

// add takes a line, which ends with a line break. It drops the line when too many bytes wait.
func (l *logger) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.pending)+len(line) > logQueue {
		l.drop(line, nil)
		return
	}
	l.pending = append(l.pending, line...)
	l.ready.Signal()
}

// drop counts lines; l.mu is held.
func (l *logger) drop(lines []byte, why error) {
	l.lines += bytes.Count(lines, []byte{'\n'})
	l.bytes += int64(len(lines))
	l.total += int64(len(lines))
	if why != nil {
		l.why = why
	}
}

// dropped returns the bytes that are in no file.
func (l *logger) dropped() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// run writes until close.
func (l *logger) run() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for len(l.pending) == 0 && !l.closed {
			l.ready.Wait()
		}
		if len(l.pending) == 0 {
			l.mu.Unlock()
			if l.f != nil {
				l.f.Close()
			}
			return
		}
		batch := l.pending
		l.pending, l.spare = l.spare[:0], batch
		lines, n, why := l.lines, l.bytes, l.why
		l.lines, l.bytes, l.why = 0, 0, nil
		l.mu.Unlock()

		if lines > 0 {
			if why == nil {
				why = errors.New("faster than the disk")
			}
			notice := fmt.Appendf(nil, "[skerry: %d lines of %d bytes were dropped: %v]\n", lines, n, why)
			if _, err := l.write(notice); err != nil { // it stays due
				l.mu.Lock()
				l.lines, l.bytes, l.why = l.lines+lines, l.bytes+n, why
				l.mu.Unlock()
			}
		}
		l.writeAll(batch)
		l.mu.Lock()
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
	}
}

// writeAll writes lines, in pieces that fit into the files.
func (l *logger) writeAll(lines []byte) {
	for len(lines) > 0 {
		if l.f == nil {
			if err := l.open(); err != nil {
				l.mu.Lock()
				l.drop(lines, err)
				l.mu.Unlock()
				return
			}
		}
		n := len(lines)
		if room := l.size - l.written; int64(n) > room {
			n = bytes.LastIndexByte(lines[:max(room, 0)], '\n') + 1
			if n == 0 { // not even one line: the next file takes it
				n = bytes.IndexByte(lines, '\n') + 1
			}
		}
		n, err := l.write(lines[:n])
		lines = lines[n:]
		if err != nil {
			l.mu.Lock()
			l.drop(lines, err)
			l.mu.Unlock()
			return
		}
	}
}

// write writes whole lines into the present file, and returns how many bytes of them are in it. After an error these
// are the first lines.
func (l *logger) write(lines []byte) (n int, err error) {
	if l.f == nil {
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	if l.written > 0 && l.written+int64(len(lines)) > l.size {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err = l.f.Write(lines)
	if err != nil {
		whole := bytes.LastIndexByte(lines[:n], '\n') + 1
		if cut := l.f.Truncate(l.written + int64(whole)); cut == nil { // else half a line stays
			n = whole
		}
	}
	l.written += int64(n)
	return n, err
}

func (l *logger) open() error {
	f, err := statedir.Append(filepath.Join(l.dir, logName(0)))
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.f, l.written = f, info.Size()
	return nil
}

// rotate moves the files by one. When it fails, nothing is written, so that the bound of the files holds.
func (l *logger) rotate() error {
	l.mu.Lock() // followers open files under it
	defer l.mu.Unlock()
	l.f.Close() // Windows renames no file that is open
	l.f = nil
	for i := logFiles - 1; i > 0; i-- {
		err := statedir.Rename(filepath.Join(l.dir, logName(i-1)), logName(i))
		if err != nil && (i == 1 || !errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("rotate the log: %w", err)
		}
	}
	l.file++
	return l.open()
}

// close waits until every pending line is written, for most at most.
func (l *logger) close(most time.Duration) {
	l.mu.Lock()
	l.closed = true
	l.ready.Signal()
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(most):
	}
}

// read adds the lines of a program until its end of the pipe is closed everywhere, or the deadline of r. It closes r.
func (l *logger) read(r *os.File) {
	defer r.Close()
	var c cutter
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		c.feed(buf[:n], l.add)
		if err != nil {
			c.flush(l.add)
			return
		}
	}
}
