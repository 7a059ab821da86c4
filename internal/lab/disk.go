//go:build linux

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Disk is a file system that can stop to answer: ext4 on a loop device.
type Disk struct {
	t      testing.TB
	dir    string
	mu     sync.Mutex
	frozen bool
}

// NewDisk mounts a disk of 16 MiB on a directory, which it makes. The end of the
// test takes it away.
func NewDisk(t testing.TB, dir string) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("lab: a disk of its own needs root: run the tests as root")
	}
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := &Disk{t: t, dir: dir}
	d.run("truncate", "-s", "16M", image)
	d.run("mkfs.ext4", "-q", image)
	d.run("mount", "-o", "loop", image, dir)
	t.Cleanup(func() {
		d.Thaw()
		d.run("umount", "-l", dir)
	})
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// Freeze makes every write hang from now on.
func (d *Disk) Freeze() { d.set(true, "--freeze") }

// Thaw lets writes go on.
func (d *Disk) Thaw() { d.set(false, "--unfreeze") }

func (d *Disk) set(frozen bool, option string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.frozen != frozen {
		d.run("fsfreeze", option, d.dir)
		d.frozen = frozen
	}
}

func (d *Disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Errorf("lab: %s %q: %v: %s", name, args, err, out)
	}
}
