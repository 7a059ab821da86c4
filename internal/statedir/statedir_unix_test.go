//go:build unix

package statedir

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unsafe returns the error that refuses a path.
func unsafe(t *testing.T, what string, err error) *UnsafeError {
	t.Helper()
	u, ok := errors.AsType[*UnsafeError](err)
	if !ok {
		t.Errorf("%s: %v; want an UnsafeError", what, err)
		return &UnsafeError{}
	}
	return u
}

func TestDirectoryIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := Check(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("check of none: %v", err)
	}
	must(t, Make(dir))
	for _, path := range []string{dir, filepath.Dir(dir)} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	must(t, Make(dir))
	file := filepath.Join(dir, "x")
	must(t, WriteFile(file, []byte("one")))
	must(t, WriteFile(file, []byte("two")))
	text, err := ReadFile(file)
	if err != nil || string(text) != "two" {
		t.Errorf("%q, %v", text, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := ReadFile(filepath.Join(dir, "y")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of none: %v", err)
	}
	if _, err := Stat(filepath.Join(dir, "y")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of none: %v", err)
	}
	must(t, Rename(file, "z"))
	must(t, Remove(filepath.Join(dir, "z")))
}

func TestUnsafeDirectories(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []fs.FileMode{0o777, 0o1777, 0o702} {
		must(t, os.Chmod(dir, 0))
		must(t, syscall.Chmod(dir, uint32(mode)))
		u := unsafe(t, "writable by every user", Make(dir))
		if u.Path != dir || !strings.Contains(u.Mend, "chmod go-w "+dir) || !strings.Contains(u.Error(), "user") {
			t.Errorf("mode %o: %v", mode, u)
		}
		unsafe(t, "write", WriteFile(filepath.Join(dir, "x"), nil))
		_, err := ReadFile(filepath.Join(dir, "x"))
		unsafe(t, "read", err)
		_, err = Lock(filepath.Join(dir, "x"))
		unsafe(t, "lock", err)
		_, err = Append(filepath.Join(dir, "x"))
		unsafe(t, "append", err)
	}
	must(t, os.Chmod(dir, 0o700))
	must(t, Check(dir))

	// a directory and a file of another user, for that user's process and for root's
	info, err := os.Stat(dir)
	must(t, err)
	nobody := func(uint32, uint32) bool { return false }
	own := os.Geteuid()
	if err := judge(info, dir, own, nobody); err != nil {
		t.Errorf("own: %v", err)
	}
	if own == 0 {
		if err := judge(info, dir, 65534, nobody); err != nil {
			t.Errorf("of root: %v", err)
		}
		must(t, os.Chown(dir, 65534, -1))
		u := unsafe(t, "of another user", Make(dir))
		if !strings.Contains(u.Mend, "chown 0 "+dir) || !strings.Contains(u.Why, "65534") {
			t.Errorf("%v", u)
		}
		link := filepath.Join(t.TempDir(), "link")
		must(t, os.Symlink(t.TempDir(), link))
		must(t, Check(link)) // as systemd makes them
		must(t, os.Lchown(link, 65534, -1))
		unsafe(t, "another user's link", Make(filepath.Join(link, "x")))
	}
}

func TestGroups(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o770))
	info, err := os.Stat(dir)
	must(t, err)
	unsafe(t, "of a group", judge(info, dir, os.Geteuid(), func(uint32, uint32) bool { return false }))
	must(t, judge(info, dir, os.Geteuid(), func(uint32, uint32) bool { return true }))

	users := "root:x:0:0::/:\nann:x:1000:1000::/:\nbob:x:1001:1001::/:\ncid:x:1002:100::/:\ndan:x:1003:100::/:\n"
	groups := "users:x:100:\nann:x:1000:\nbob:x:1001:bob\nshared:x:1005:ann,bob\nmine:x:1006:ann\n"
	for _, c := range []struct {
		gid, uid uint32
		want     bool
	}{{1000, 1000, true}, {1001, 1001, true}, {100, 1002, false}, {1005, 1000, false}, {1006, 1000, true}, {1000, 1001,
		false}, {4711, 1000, false}, {1000, 4711, false}} {
		if got := alone(groups, users, c.gid, c.uid); got != c.want {
			t.Errorf("group %d of user %d: %v", c.gid, c.uid, got)
		}
	}
}

// TestPlantedFiles: only plain files of the process's own are read and written, and the target of a
// link stays unchanged.
func TestPlantedFiles(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	target := filepath.Join(outside, "target")
	must(t, os.WriteFile(target, []byte("precious"), 0o600))
	inside := filepath.Join(dir, "inside")
	must(t, os.WriteFile(inside, []byte("precious"), 0o600))
	planted := map[string]func(string) error{
		"link":      func(path string) error { return os.Symlink(target, path) },
		"near link": func(path string) error { return os.Symlink("inside", path) },
		"no target": func(path string) error { return os.Symlink(filepath.Join(outside, "new"), path) },
		"hard link": func(path string) error { return os.Link(target, path) },
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"writable": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600),
				os.Chmod(path, 0o666))
		},
	}
	for what, plant := range planted {
		path := filepath.Join(dir, "planted")
		must(t, plant(path))
		_, err := ReadFile(path)
		u := unsafe(t, "read of a "+what, err)
		if u.Path != path || u.Mend == "" {
			t.Errorf("%s: %v", what, u)
		}
		_, err = Append(path)
		unsafe(t, "append to a "+what, err)
		_, err = Lock(path)
		unsafe(t, "lock of a "+what, err)
		_, err = ReadUnasked(path, 100)
		unsafe(t, "unasked read of a "+what, err)
		if what != "writable" { // this one has one name and is a plain file
			unsafe(t, "rename of a "+what, Rename(path, "y"))
			_, err = Stat(path)
			unsafe(t, "stat of a "+what, err)
		}
		if what == "directory" {
			if err := WriteFile(path, []byte("x")); err == nil {
				t.Error("a directory was replaced")
			}
		} else {
			must(t, WriteFile(path, []byte("x")))
			if text, err := ReadFile(path); err != nil || string(text) != "x" {
				t.Errorf("in place of a %s: %q, %v", what, text, err)
			}
		}
		must(t, os.RemoveAll(path))
	}
	for _, path := range []string{target, inside} {
		if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(outside, "new")); err == nil {
		t.Error("a file was made through a link")
	}
}

func TestSizes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "big")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, MaxFile+1))
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a file that is too large: %v", err)
	}
	must(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 100), 0o600))
	if _, err := ReadUnasked(path, 99); err == nil {
		t.Error("100 bytes of 99")
	}
	if _, err := ReadNamed(path, 99); err == nil {
		t.Error("100 bytes of 99, of a file that was named")
	}
	if text, err := ReadUnasked(path, 100); err != nil || len(text) != 100 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if _, err := ReadUnasked(filepath.Join(dir, "none"), 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	if _, err := OpenPlain(pipe); err == nil || !strings.Contains(err.Error(), "no plain file") {
		t.Errorf("a pipe: %v", err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.lock")
	f, err := Lock(path)
	must(t, err)
	if _, err := Lock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	f.Close()
	f, err = Lock(path)
	must(t, err)
	f.Close()
}

// TestRemovedLock: a lock no longer holds after its file was removed, and reports it.
func TestRemovedLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.lock")
	f, err := Lock(path)
	must(t, err)
	defer f.Close()
	if !Holds(f, path) {
		t.Error("it does not hold what it has just locked")
	}
	must(t, os.Remove(path))
	if Holds(f, path) {
		t.Error("it holds a file that was removed")
	}
	other, err := Lock(path)
	must(t, err)
	defer other.Close()
	if Holds(f, path) || !Holds(other, path) {
		t.Error("it holds the file of another process")
	}
}

// TestFilesOfRoot: an error names files that a run as root has left, and the command that corrects
// them. As root the test runs itself as another user; as another user it has no such files.
func TestFilesOfRoot(t *testing.T) {
	if dir := os.Getenv("STATEDIR_OF_ROOT"); dir != "" {
		for name, do := range map[string]func(string) error{
			"own/file": func(p string) error { _, err := ReadFile(p); return err },
			"own/log":  func(p string) error { _, err := Append(p); return err },
			"own/lock": func(p string) error { _, err := Lock(p); return err },
			"root":     Make,
			"root/new": func(p string) error { return WriteFile(p, nil) },
		} {
			path := filepath.Join(dir, name)
			u := unsafe(t, name, do(path))
			if name == "root/new" {
				path = filepath.Dir(path)
			}
			if want := "chown 65534 " + path; u.Mend != want || !strings.Contains(u.Why, "(0)") {
				t.Errorf("%s: %v; want %s", name, u, want)
			}
		}
		if _, err := ReadUnasked(filepath.Join(dir, "own/file"), 9); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a file that is in nobody's state: %v", err)
		}
		if err := Make(filepath.Join(dir, "system")); err != nil {
			t.Errorf("a directory of the system: %v", err)
		}
		if err := WriteFile(filepath.Join(dir, "system", "new"), nil); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a new file in a directory of the system: %v", err)
		}
		return
	}
	if os.Geteuid() != 0 {
		return
	}
	dir, err := os.MkdirTemp(os.Getenv("GOTMPDIR"), "statedir") // programs can run there
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	for name, mode := range map[string]fs.FileMode{"own": 0o700, "root": 0o700, "system": 0o755} {
		must(t, os.Mkdir(filepath.Join(dir, name), mode))
	}
	for _, name := range []string{"file", "log", "lock"} {
		must(t, os.WriteFile(filepath.Join(dir, "own", name), []byte("x"), 0o600))
	}
	must(t, os.Chown(filepath.Join(dir, "own"), 65534, 65534))
	self := filepath.Join(dir, "test") // the running program is in a directory of root
	own, err := os.Executable()
	must(t, err)
	text, err := os.ReadFile(own)
	must(t, err)
	must(t, os.WriteFile(self, text, 0o755))
	c := exec.Command(self, "-test.run", "^TestFilesOfRoot$")
	c.Dir, c.Env = dir, append(os.Environ(), "STATEDIR_OF_ROOT="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}
