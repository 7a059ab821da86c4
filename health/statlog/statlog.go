package statlog

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/statedir"
)

// Sink writes rows as lines of JSON into a file that rotates. One process owns the file; processes
// of one host use separate files. File and directory must be safe from other users: see package
// internal/statedir.
type Sink struct {
	disk run.Disk // a period's lines stay together
	cfg  Config
}

// Config sets up a Sink.
type Config struct {
	Path    string        // file; its directory is made if missing
	MaxSize int           // MiB of one file before it is rotated; 0 means 16
	Keep    int           // number of rotated files to keep; 0 means 4
	MaxAge  time.Duration // older files are removed; 0 means 30 days
}

// New makes a sink. The file is opened for each Write.
func New(cfg Config) *Sink {
	cfg.MaxSize, cfg.Keep = cmp.Or(cfg.MaxSize, 16), cmp.Or(cfg.Keep, 4)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, 30*24*time.Hour)
	return &Sink{cfg: cfg}
}

// Write appends one line for each row: all of them or, when the disk is full or does not answer
// while ctx lasts, none.
func (s *Sink) Write(ctx context.Context, rows []health.Row) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for i := range rows {
		if err := enc.Encode(rows[i]); err != nil {
			return fmt.Errorf("encode statistics: %w", err)
		}
	}
	text := quote.JSON(b.Bytes())
	var before int64
	write := func() (err error) {
		before, err = s.append(text)
		return err
	}
	tooLate := func() { _ = s.cut(before) } // the next Write has these rows again
	if err := s.disk.Do(ctx, write, tooLate); err != nil {
		return fmt.Errorf("write statistics to %q: %w", s.cfg.Path, err)
	}
	return nil
}

// append writes text to the file, or to a new one if the file would grow too large. It returns the
// earlier length of the file.
func (s *Sink) append(text []byte) (before int64, err error) {
	if err := statedir.Make(filepath.Dir(s.cfg.Path)); err != nil {
		return 0, err
	}
	info, err := statedir.Stat(s.cfg.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, err
	case info.Size() > 0 && info.Size()+int64(len(text)) > int64(s.cfg.MaxSize)<<20:
		if err := s.rotate(time.Now()); err != nil {
			return 0, err
		}
	default:
		before = info.Size()
	}
	f, err := statedir.Append(s.cfg.Path)
	if err != nil {
		return before, err
	}
	if _, err = f.Write(text); err != nil {
		err = errors.Join(err, f.Truncate(before)) // no partial line
	}
	return before, errors.Join(err, f.Close())
}

// cut removes the last written text from the file.
func (s *Sink) cut(size int64) error {
	f, err := statedir.Append(s.cfg.Path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// rotateStamp stands before the extension of a rotated file.
const rotateStamp = "2006-01-02T15-04-05.000"

// rotate renames the file, and removes rotated files that are too many or too old.
func (s *Sink) rotate(now time.Time) error {
	ext := filepath.Ext(s.cfg.Path)
	stem := strings.TrimSuffix(filepath.Base(s.cfg.Path), ext)
	if err := statedir.Rename(s.cfg.Path, stem+"-"+now.UTC().Format(rotateStamp)+ext); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Dir(s.cfg.Path))
	if err != nil {
		return fmt.Errorf("list statistics logs: %w", err)
	}
	kept := 0
	for _, e := range slices.Backward(entries) { // newest first
		when, ok := rotated(e.Name(), stem, ext)
		if !ok {
			continue
		}
		if kept++; kept > s.cfg.Keep || now.Sub(when) > s.cfg.MaxAge {
			err = errors.Join(err, statedir.Remove(filepath.Join(filepath.Dir(s.cfg.Path), e.Name())))
		}
	}
	return err
}

// maxLine is the longest line that Read accepts.
const maxLine = 1 << 20

// Read reads the rows of the files that pattern names (as of filepath.Match; a plain path is a
// pattern) and of the files rotated from them. It leaves out rows that ended before since. It calls
// f with rows in the order of each file, oldest file first, until f returns an error. bad counts
// invalid lines, such as a line that a crash cut off; they do not stop the reading. Without any
// file the error is fs.ErrNotExist.
func Read(pattern string, since time.Time, f func(health.Row) error) (bad int, err error) {
	files, err := filesOf(pattern)
	if err != nil {
		return 0, err
	}
	for _, name := range files {
		n, err := readFile(name, since, f)
		bad += n
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // rotated during the reading
			return bad, err
		}
	}
	return bad, nil
}

// filesOf lists the files of a pattern and the files rotated from them.
func filesOf(pattern string) ([]string, error) {
	heads, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("statistics log %q: %w", pattern, err)
	}
	if len(heads) == 0 {
		return nil, fmt.Errorf("statistics log %s: %w", pattern, fs.ErrNotExist)
	}
	var files []string
	for _, head := range heads {
		ext := filepath.Ext(head)
		stem := strings.TrimSuffix(filepath.Base(head), ext)
		entries, err := os.ReadDir(filepath.Dir(head))
		if err != nil {
			return nil, fmt.Errorf("list statistics logs: %w", err)
		}
		for _, e := range entries { // sorted by name: oldest first
			if _, ok := rotated(e.Name(), stem, ext); ok {
				files = append(files, filepath.Join(filepath.Dir(head), e.Name()))
			}
		}
		files = append(files, head)
	}
	seen := map[string]bool{} // a wildcard may also match rotated files
	return slices.DeleteFunc(files, func(f string) bool {
		dup := seen[f]
		seen[f] = true
		return dup
	}), nil
}

// rotated reads the time at which a file was rotated.
func rotated(name, stem, ext string) (when time.Time, ok bool) {
	middle, ok := strings.CutPrefix(name, stem+"-")
	if !ok {
		return when, false
	}
	if middle, ok = strings.CutSuffix(strings.TrimSuffix(middle, ".gz"), ext); !ok {
		return when, false
	}
	when, err := time.Parse(rotateStamp, middle)
	return when, err == nil
}

func readFile(name string, since time.Time, f func(health.Row) error) (bad int, err error) {
	file, err := statedir.OpenPlain(name)
	if err != nil {
		return 0, fmt.Errorf("read statistics: %w", err)
	}
	defer file.Close()
	var in io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			return 1, nil
		}
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var row health.Row
		if json.Unmarshal(lines.Bytes(), &row) != nil {
			bad++
			continue
		}
		if row.To.Before(since) {
			continue
		}
		if err := f(row); err != nil {
			return bad, err
		}
	}
	if err := lines.Err(); err != nil {
		bad++ // a line without end: the lines after it can't be read
	}
	return bad, nil
}
