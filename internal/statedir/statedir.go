package statedir

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxFile is the largest file, in bytes, that ReadFile reads.
const MaxFile = 64 << 20

// ErrLocked: another process holds a lock.
var ErrLocked = errors.New("another process holds the lock")

// UnsafeError is the reason why a directory or a file is not used.
type UnsafeError struct {
	Path string
	Why  string // includes owner and mode
	Mend string // a command
}

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%q is not used: %s; mend it by: %s", e.Path, e.Why, e.Mend)
}

// Make makes a missing directory with mode 0700, and checks the directory.
func Make(path string) error {
	if err := checkLinks(path); err != nil {
		return err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	return Check(path)
}

// Check reports whether a directory is safe for files.
func Check(path string) error {
	return in(filepath.Join(path, "x"), func(*os.Root, string) error { return nil })
}

// open opens a directory and checks it.
func open(path string) (*os.Root, error) {
	if err := checkLinks(path); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	dir, err := root.Open(".")
	if err == nil {
		err = errors.Join(check(dir, path), dir.Close())
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// checkLinks refuses a path that leads over another user's symbolic link.
func checkLinks(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for p := abs; ; p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			if err := checkLink(info, p); err != nil {
				return err
			}
		}
		if filepath.Dir(p) == p {
			return nil
		}
	}
}

// in runs do in the checked directory of a path. If a file or directory of another user is the
// cause of a failure, the error names that user.
func in(path string, do func(root *os.Root, name string) error) error {
	err := at(path, do)
	if _, unsafe := errors.AsType[*UnsafeError](err); unsafe || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if info, looked := os.Lstat(path); looked == nil {
		return cmp.Or(foreign(info, path), err)
	}
	dir := filepath.Dir(path)
	// a directory with Make's mode; others belong to the system
	if info, looked := os.Lstat(dir); looked == nil && info.Mode().Perm()&0o077 == 0 {
		return cmp.Or(foreign(info, dir), err)
	}
	return err
}

// at is in without a search for the cause of a failure.
func at(path string, do func(root *os.Root, name string) error) error {
	root, err := open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(do(root, filepath.Base(path)), root.Close())
}

// regular checks a name. A nil result without an error means that the name is free.
func regular(root *os.Root, name, path string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &UnsafeError{path, fmt.Sprintf("it is no plain file (mode %v)", info.Mode()), "rm " + shell(path)}
	case links(info) > 1:
		return nil, &UnsafeError{path, fmt.Sprintf("it has %d names (hard links)", links(info)), "rm " + shell(path)}
	}
	return info, nil
}

// openFile opens a plain file of the directory. With O_CREATE it may make the file.
func openFile(root *os.Root, name, path string, flag int) (*os.File, error) {
	before, err := regular(root, name, path)
	if err != nil {
		return nil, err
	}
	if before == nil {
		if flag&os.O_CREATE == 0 {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		f, err := root.OpenFile(name, flag|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if before, err = regular(root, name, path); err != nil { // another process was faster
			return nil, err
		}
	}
	f, err := root.OpenFile(name, flag&^os.O_CREATE, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case before == nil || !os.SameFile(info, before):
		err = &UnsafeError{path, "it was replaced while it was opened", "rm " + shell(path)}
	default:
		err = check(f, path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile reads a file of a state directory.
func ReadFile(path string) (text []byte, err error) {
	err = in(path, func(root *os.Root, name string) error {
		f, err := openFile(root, name, path, os.O_RDONLY)
		if err != nil {
			return err
		}
		text, err = readAll(f, path, MaxFile)
		return errors.Join(err, f.Close())
	})
	return text, err
}

// readAll reads a file. A file that is too large takes no memory.
func readAll(f *os.File, path string, most int) ([]byte, error) {
	tooLarge := fmt.Errorf("read %q: it has more than %d bytes", path, most)
	if info, err := f.Stat(); err == nil && info.Size() > int64(most) {
		return nil, tooLarge
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(most)+1)) // a pipe has no size
	if err == nil && len(text) > most {
		return nil, tooLarge
	}
	return text, err
}

// WriteFile replaces a file so that a reader, or a power cut, finds the old or the new text. It
// also replaces a link or a pipe of that name, and leaves its target unchanged.
func WriteFile(path string, text []byte) error {
	err := in(path, func(root *os.Root, name string) error {
		temporary := name + "." + strings.ToLower(rand.Text()[:10]) + ".new"
		f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		err = errors.Join(err, f.Sync(), f.Close())
		if err == nil {
			err = root.Rename(temporary, name)
		}
		if err != nil {
			return errors.Join(err, root.Remove(temporary))
		}
		if dir, err := root.Open("."); err == nil {
			_ = dir.Sync() // on systems that support it; elsewhere the rename must do
			dir.Close()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("replace %q: %w", path, err)
	}
	return nil
}

// Append opens a file for writing at its end.
func Append(path string) (f *os.File, err error) {
	err = in(path, func(root *os.Root, name string) error {
		f, err = openFile(root, name, path, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
		return err
	})
	return f, err
}

// Rename gives a file another name in its directory.
func Rename(path, name string) error {
	return in(path, func(root *os.Root, old string) error {
		if _, err := regular(root, old, path); err != nil {
			return err
		}
		return root.Rename(old, name)
	})
}

// Remove takes a file out of its directory.
func Remove(path string) error {
	return in(path, func(root *os.Root, name string) error { return root.Remove(name) })
}

// Stat returns the data of a plain file; any other file is an error.
func Stat(path string) (info fs.FileInfo, err error) {
	err = in(path, func(root *os.Root, name string) error {
		if info, err = regular(root, name, path); err == nil && info == nil {
			err = &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
		}
		return err
	})
	return info, err
}

// ReadUnasked reads a file that was found and not named. It must be as safe as a file of a state
// directory.
func ReadUnasked(path string, most int) (text []byte, err error) {
	if _, err := os.Lstat(path); err != nil {
		return nil, err // without the file, its directory need not be checked
	}
	err = at(path, func(root *os.Root, name string) error {
		f, err := openFile(root, name, path, os.O_RDONLY)
		if err != nil {
			return err
		}
		text, err = readAll(f, path, most)
		return errors.Join(err, f.Close())
	})
	return text, err
}

// OpenPlain opens a plain file for reading, of any user and in any directory. A pipe or a device
// could block the reader for ever.
func OpenPlain(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is no plain file (mode %v)", path, info.Mode())
	}
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// ReadNamed reads a file that the operator has named, which may be a pipe.
func ReadNamed(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := readAll(f, path, most)
	return text, errors.Join(err, f.Close())
}

// shell quotes a path for the command line that an error proposes.
func shell(path string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' ||
			r >= 'A' && r <= 'Z'
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
