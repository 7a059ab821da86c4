//go:build unix

package keyfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/sitekey"
)

// fakeInfo is a file of any owner and mode, for tests without root.
type fakeInfo struct {
	fs.FileInfo
	mode  fs.FileMode
	owner int
}

func (f fakeInfo) Mode() fs.FileMode { return f.mode }
func (f fakeInfo) Sys() any          { return &syscall.Stat_t{Uid: uint32(f.owner)} }

func TestRights(t *testing.T) {
	const root = 0
	self, other := os.Geteuid(), os.Geteuid()+4711
	path := filepath.Join(t.TempDir(), "a key")
	for _, c := range []struct {
		owner int
		mode  fs.FileMode
		what  kind
		want  string // part of the error, "" for none
	}{
		{self, 0o600, secret, ""},
		{self, 0o400, secret, ""},
		{root, 0o400, secret, ""},
		{root, 0o440, secret, ""}, // systemd's credentials
		{root, 0o640, secret, ""},
		{root, 0o644, secret, "chmod o= '" + path + "'"},
		{self, 0o622, secret, "chmod go-w '" + path + "'"},
		{self, 0o620, public, "chmod go-w '" + path + "'"},
		{self, 0o602, public, "chmod go-w '" + path + "'"},
		{self, 0o644, public, ""},
		{root, 0o644, public, ""},
		{other, 0o600, secret, "chown root '" + path + "'"},
		{other, 0o644, public, "chown root '" + path + "'"},
	} {
		err := safe(path, nil, fakeInfo{mode: c.mode, owner: c.owner}, c.what)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("owner %d, mode %04o, kind %d: %v, want %q", c.owner, c.mode, c.what, err, c.want)
		}
	}
	for _, c := range []struct {
		mode fs.FileMode
		want string
	}{{0o600, ""}, {0o400, ""}, {0o640, "chmod 600"}, {0o604, "chmod 600"}} {
		err := safe(path, nil, fakeInfo{mode: c.mode, owner: other}, private)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("a private key of mode %04o: %v, want %q", c.mode, err, c.want)
		}
	}
	if self != root {
		for _, mode := range []fs.FileMode{0o640, 0o644} {
			err := safe(path, nil, fakeInfo{mode: mode, owner: self}, secret)
			if err == nil || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("own file of mode %04o: %v", mode, err)
			}
		}
	}
}

// TestModesOfRealFiles tests the modes by OpenKeys.
func TestModesOfRealFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for mode, want := range map[fs.FileMode]string{
		0o600: "", 0o400: "", 0o604: "chmod", 0o660: "chmod go-w", 0o666: "chmod go-w",
	} {
		_ = os.Remove(path)
		write(t, path, text(sitekey.New()), mode)
		_, err := OpenKeys("x", []string{path})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("mode %04o: %v, want %q", mode, err, want)
		}
	}
	_ = os.Remove(path)
	write(t, path, text(sitekey.New()), 0o600)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys("x", []string{path}); err == nil || !strings.Contains(err.Error(), "chmod o-w "+dir) {
		t.Errorf("a directory that every user may write: %v", err)
	}
	if err := os.Chmod(dir, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys("x", []string{path}); err != nil {
		t.Errorf("a directory such as /tmp: %v", err)
	}
}

func TestCreatedKeysArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "own")
	path := filepath.Join(dir, "key")
	old := syscall.Umask(0)
	err := CreateKeys(path, sitekey.Line{Key: sitekey.New()})
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, dir: 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, want %v", name, info.Mode(), want)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceKeys(path, []sitekey.Line{{Key: sitekey.New()}}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("after ReplaceKeys the mode is %v", info.Mode())
	}
}

// TestWaitsForNoFile names files on which a reader could wait for ever.
func TestWaitsForNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe, loop, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "loop"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{loop: loop, link: filepath.Join(dir, "key")} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	for path, want := range map[string]string{
		pipe: "a named pipe", loop: "leads back to itself", "/dev/zero": "a device",
	} {
		if _, err := OpenKeys("x", []string{path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", path, err, want)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	a, b := sitekey.New(), sitekey.New()
	write(t, filepath.Join(dir, "key"), text(a), 0o600)
	if err := ReplaceKeys(link, []sitekey.Line{{Key: a}, {Key: b}}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("ReplaceKeys has replaced the link and not its target: %v", err)
	}
	if k, err := OpenKeys("x", []string{link}); err != nil || len(k.Ring().Keys()) != 2 {
		t.Errorf("through the link: %v, %v", k.Found(), err)
	}
}
