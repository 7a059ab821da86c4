//go:build unix

package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

func systemDir() string { return "/etc/skerry" }

// open does not wait: a named pipe opens at once without a writer.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

func tooManyLinks(err error) bool { return errors.Is(err, syscall.ELOOP) }

// safe refuses a file that another user may have written, or a secret that another user may read.
func safe(path string, _ *os.File, info fs.FileInfo, what kind) error {
	mode, owner := info.Mode().Perm(), int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case what == private && mode&0o077 != 0:
		return fmt.Errorf("%s may be read by other users (mode %04o), so the key in it is no secret; mend it: chmod "+
			"600 %s", path, mode, quote(path))
	case what == private || what == harmless:
		return nil
	case owner != 0 && owner != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, and only files of root or of user %d, which this process runs as, "+
			"are read; mend it: chown root %s",
			path, owner, os.Geteuid(), quote(path))
	case mode&0o022 != 0:
		return fmt.Errorf("%s may be written by other users (mode %04o); mend it: chmod go-w %s",
			path, mode, quote(path))
	case what == secret && mode&0o007 != 0:
		return fmt.Errorf("%s may be read by every user of this host (mode %04o), so the key in it is no secret; "+
			"mend it: chmod %s %s",
			path, mode, privateMode(owner), quote(path))
	case what == secret && mode&0o070 != 0 && owner != 0:
		return fmt.Errorf("%s may be read by a group (mode %04o), which is taken of root's files only; mend it: "+
			"chmod 600 %s", path, mode, quote(path))
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err == nil && dir.Mode().Perm()&0o002 != 0 && dir.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("the directory of %s may be written by every user of this host, so each of them could "+
			"replace the file; mend it: chmod o-w %s",
			path, quote(filepath.Dir(path)))
	}
	return nil
}

// privateMode is the mode of a private file. The group may read a file of root's.
func privateMode(owner int) string {
	if owner == 0 {
		return "o="
	}
	return "600"
}

// restrict does nothing: the file was made with mode 0600.
func restrict(*os.File) error { return nil }

// take gives a new file the owner, group and mode of the old one.
func take(f *os.File, old fs.FileInfo) error {
	was := old.Sys().(*syscall.Stat_t)
	now, err := f.Stat()
	if err != nil {
		return err
	}
	is := now.Sys().(*syscall.Stat_t)
	if is.Uid != was.Uid || is.Gid != was.Gid {
		if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return fmt.Errorf("%w; run the command as the user that the file belongs to, or as root", err)
		}
	}
	return f.Chmod(old.Mode().Perm())
}
