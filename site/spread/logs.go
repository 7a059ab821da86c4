package spread

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/internal/run"
)

const (
	logPage  = 256 << 10 // bytes of one page
	logLines = 10_000    // lines of the first page
	logWait  = 30 * time.Second
	logLook  = 200 * time.Millisecond
	logFiles = 8  // that are looked for
	logWaits = 16 // callers that wait for lines at a time; others are answered at once
)

// A cursor is the number of a file and an offset there. Files are numbered in the order in which they were seen, and
// keep their number when a rotation gives them another name.
const offsetBits = 32

// logs numbers the files of the logs of a host.
type logs struct {
	waits atomic.Int32 // callers that wait now

	mu  sync.Mutex
	all map[string]*logSeries // by directory
}

// logSeries are the files of one log that were there last, the oldest first.
type logSeries struct {
	next  int64
	files []logFile
}

type logFile struct {
	number int64
	info   fs.FileInfo
	path   string
}

// look finds the files of a log, the oldest first.
func (l *logs) look(dir string) ([]logFile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]*logSeries{}
	}
	s := l.all[dir]
	if s == nil {
		s = &logSeries{next: time.Now().Unix() & 0x3fffffff} // a cursor of an agent before this one is an old one
		l.all[dir] = s
	}
	var found []logFile
	for i := range logFiles {
		path := dir + string(os.PathSeparator) + "log"
		if i > 0 {
			path += "." + strconv.Itoa(i)
		}
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			found = append(found, logFile{info: info, path: path})
		}
	}
	if len(found) == 0 {
		delete(l.all, dir)
		return nil, nil
	}
	slices.Reverse(found)
	last := int64(-1)
	for i := range found {
		f := &found[i]
		at := slices.IndexFunc(s.files, func(k logFile) bool { return k.number > last && os.SameFile(k.info, f.info) })
		if at >= 0 && s.files[at].info.Size() <= f.info.Size() {
			f.number = s.files[at].number
		} else {
			f.number = s.next
			s.next++
		}
		last = f.number
	}
	s.files = found
	return found, nil
}

// page reads lines behind a cursor; a negative one asks for the last lines.
func (l *logs) page(dir string, cursor int64, lines int) (*agentwire.LogPage, error) {
	files, err := l.look(dir)
	if err != nil {
		return nil, err
	}
	if cursor < 0 {
		return lastLines(files, min(max(lines, 0), logLines))
	}
	number, offset := cursor>>offsetBits, cursor&(1<<offsetBits-1)
	page := &agentwire.LogPage{Cursor: cursor}
	known := slices.ContainsFunc(files, func(f logFile) bool { return f.number == number })
	for _, f := range files {
		if f.number < number {
			continue
		}
		if f.number > number || !known {
			number, offset = f.number, 0
		}
		if !known && len(files) > 0 {
			page.Skipped = new(int64(1)) // how many is not known
			known = true
		}
		text, err := readLines(f.path, offset, logPage-len(page.Text))
		if err != nil {
			return nil, err
		}
		page.Text = append(page.Text, text...)
		page.Cursor = number<<offsetBits | (offset + int64(len(text)))
		if len(text) > 0 && offset+int64(len(text)) < f.info.Size() {
			break // the page is full
		}
	}
	return page, nil
}

// readLines reads whole lines.
func readLines(path string, offset int64, most int) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it was rotated away; the next page says so
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, most)
	n, err := f.ReadAt(buf, offset)
	if n == 0 && err != nil {
		return nil, nil // the end
	}
	return buf[:bytes.LastIndexByte(buf[:n], '\n')+1], nil
}

// lastLines are the last lines of a log, of one page.
func lastLines(files []logFile, lines int) (*agentwire.LogPage, error) {
	page := &agentwire.LogPage{Text: []byte{}}
	for i, f := range slices.Backward(files) {
		size := f.info.Size()
		from := max(0, size-int64(logPage-len(page.Text)))
		text, err := readLines(f.path, from, int(size-from))
		if err != nil {
			return nil, err
		}
		if i == len(files)-1 {
			page.Cursor = f.number<<offsetBits | (from + int64(len(text)))
		}
		if from > 0 { // the first line is not whole
			text = text[bytes.IndexByte(text, '\n')+1:]
		}
		page.Text = append(text, page.Text...)
		if from > 0 || bytes.Count(page.Text, []byte("\n")) >= lines {
			break
		}
	}
	for n := bytes.Count(page.Text, []byte("\n")); n > lines; n-- {
		page.Text = page.Text[bytes.IndexByte(page.Text, '\n')+1:]
	}
	return page, nil
}

// follow reads a page, and waits for new lines when there are none.
func (l *logs) follow(ctx context.Context, dir string, cursor int64, lines int, wait time.Duration) (
	*agentwire.LogPage, error) {
	if l.waits.Add(1) > logWaits {
		wait = 0
	}
	defer l.waits.Add(-1)
	end := time.Now().Add(min(wait, logWait))
	for {
		page, err := l.page(dir, cursor, lines)
		if err != nil || len(page.Text) > 0 || page.Skipped != nil || !time.Now().Before(end) {
			return page, err
		}
		if cursor < 0 {
			cursor = page.Cursor
		}
		if err := run.Sleep(ctx, logLook); err != nil {
			return nil, err
		}
	}
}
