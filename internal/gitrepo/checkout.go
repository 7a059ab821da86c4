package gitrepo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	modeFile    = "100644"
	modeProgram = "100755"
	modeLink    = "120000"
	modeModule  = "160000" // a submodule

	maxEntries = 200_000
	maxPath    = 4096     // bytes
	maxTotal   = 16 << 30 // bytes of all files
)

// entry is a file of a commit.
type entry struct {
	mode, object string
	size         int64
	path         string
}

// parseEntry reads what git ls-tree prints of one file: "MODE TYPE OBJECT[ SIZE]\tPATH".
func parseEntry(line []byte) (e entry, err error) {
	head, name, ok := bytes.Cut(line, []byte("\t"))
	f := strings.Fields(string(head))
	if !ok || len(f) < 3 || !isHash(f[2], true) {
		return e, fmt.Errorf("git ls-tree prints %.80q", line)
	}
	e = entry{mode: f[0], object: f[2], path: string(name)}
	if e.mode == "100664" { // of old versions of git
		e.mode = modeFile
	}
	if len(f) > 3 && f[3] != "-" {
		e.size, err = strconv.ParseInt(f[3], 10, 64)
	}
	return e, err
}

// checkPath refuses names that lead out of the checkout, or into what git keeps for itself.
func checkPath(name string) error {
	if len(name) > maxPath || !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
		return fmt.Errorf("the commit has a file %.120q, which leads out of a checkout", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.EqualFold(part, ".git") {
			return fmt.Errorf("the commit has a file %.120q; no commit of git has a name .git", name)
		}
	}
	return nil
}

// entries lists the files of a commit.
func (r *Repo) entries(ctx context.Context, id string) (all []entry, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := r.command(ctx, "ls-tree", "-r", "-z", "-l", "--full-tree", id)
	complaint := &bounded{most: maxComplain}
	c.Stderr = complaint
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, failed(ctx, "ls-tree", err, complaint)
	}
	all, err = readEntries(out)
	if err != nil {
		cancel()
	}
	if ended := c.Wait(); err == nil && ended != nil {
		err = failed(ctx, "ls-tree", ended, complaint)
	}
	return all, err
}

func readEntries(from io.Reader) (all []entry, err error) {
	lines, total := bufio.NewScanner(from), int64(0)
	lines.Buffer(nil, maxPath+200)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, 0); i >= 0 {
			return i + 1, data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return 0, nil, io.ErrUnexpectedEOF
		}
		return 0, nil, nil
	})
	for lines.Scan() {
		e, err := parseEntry(lines.Bytes())
		if err == nil {
			err = checkPath(e.path)
		}
		if total += e.size; err == nil && total > maxTotal {
			err = fmt.Errorf("the files of the commit have more than %d bytes", int64(maxTotal))
		}
		if err == nil && len(all) == maxEntries {
			err = fmt.Errorf("the commit has more than %d files", maxEntries)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("the commit has a file with a name of more than %d bytes", maxPath)
	}
	return all, lines.Err()
}

// Checkout is how a commit is written to a directory.
type Checkout struct {
	To   *os.Root
	Time time.Time          // of all files
	Own  func(string) error // for each name that was made; may be nil
	Note func(string)       // what is left out; may be nil
}

// Write writes the files of a commit. The directory must be empty, and no other process may write to it.
func (r *Repo) Write(ctx context.Context, id string, to Checkout) error {
	all, err := r.entries(ctx, id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := writer{Checkout: to, made: map[string]bool{".": true}}
	c := r.command(ctx, "cat-file", "--batch")
	complaint := &bounded{most: maxComplain}
	c.Stderr = complaint
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return failed(ctx, "cat-file", err, complaint)
	}
	asked := make(chan struct{})
	go func() { // ends at the latest with the command, which closes the pipe
		defer close(asked)
		defer in.Close()
		list := bufio.NewWriter(in)
		for _, e := range all {
			if e.mode != modeModule {
				list.WriteString(e.object + "\n")
			}
		}
		list.Flush()
	}()
	err = w.all(ctx, all, bufio.NewReaderSize(out, 64<<10))
	if err != nil {
		cancel()
	}
	ended := c.Wait()
	<-asked
	if err == nil && ended != nil {
		err = failed(ctx, "cat-file", ended, complaint)
	}
	return err
}

// writer writes a checkout.
type writer struct {
	Checkout
	made  map[string]bool // directories
	links []link
}

type link struct{ name, target string }

func (w *writer) all(ctx context.Context, all []entry, from *bufio.Reader) error {
	for _, e := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.one(e, from); err != nil {
			return fmt.Errorf("write %q: %w", e.path, err)
		}
	}
	for _, l := range w.links { // at the end: nothing is written through them
		err := w.To.Symlink(l.target, l.name)
		if err == nil {
			err = w.own(l.name)
		}
		if err != nil {
			return fmt.Errorf("write %q: %w", l.name, err)
		}
	}
	return nil
}

func (w *writer) one(e entry, from *bufio.Reader) error {
	if e.mode == modeModule {
		if w.Note != nil {
			w.Note(fmt.Sprintf("%q is a submodule, and is left empty", e.path))
		}
		return w.dirs(e.path)
	}
	size, err := blobHead(from, e)
	if err != nil {
		return err
	}
	if err := w.dirs(path.Dir(e.path)); err != nil {
		return err
	}
	content := io.LimitReader(from, size)
	switch e.mode {
	case modeFile:
		err = w.file(e.path, 0o644, content)
	case modeProgram:
		err = w.file(e.path, 0o755, content)
	case modeLink:
		var target []byte
		if size > maxPath {
			return fmt.Errorf("a link of %d bytes", size)
		}
		target, err = io.ReadAll(content)
		w.links = append(w.links, link{e.path, string(target)})
	default:
		err = fmt.Errorf("it has the mode %s, which is none of a file", e.mode)
	}
	if err != nil {
		return err
	}
	_, err = from.Discard(1) // the line break behind each object
	return err
}

// blobHead reads "OBJECT blob SIZE\n" of git cat-file --batch.
func blobHead(from *bufio.Reader, e entry) (int64, error) {
	line, err := from.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(line))
	if len(f) != 3 || f[0] != e.object || f[1] != "blob" {
		return 0, fmt.Errorf("the object is no file: %.120q", line)
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err == nil && size != e.size {
		err = fmt.Errorf("it has %d bytes, and %d were said", size, e.size)
	}
	return size, err
}

func (w *writer) file(name string, mode os.FileMode, content io.Reader) error {
	f, err := w.To.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask says
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := w.To.Chtimes(filepath.FromSlash(name), w.Time, w.Time); err != nil {
		return err
	}
	return w.own(name)
}

// dirs makes a directory and those above it.
func (w *writer) dirs(name string) error {
	if w.made[name] {
		return nil
	}
	if err := w.dirs(path.Dir(name)); err != nil {
		return err
	}
	if err := w.To.Mkdir(filepath.FromSlash(name), 0o755); err != nil {
		return err
	}
	w.made[name] = true
	return w.own(name)
}

func (w *writer) own(name string) error {
	if w.Own == nil {
		return nil
	}
	return w.Own(filepath.FromSlash(name))
}
