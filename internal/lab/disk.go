//go:build linux

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Disk is a file system that can hang, be full, or become read-only: ext4 on a loop device.
type Disk struct {
	t      T
	dir    string
	mu     sync.Mutex
	frozen bool
}

// NewDisk mounts a disk of 16 MiB on a directory, which it makes. The end of the test removes it.
func NewDisk(t T, dir string) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("lab: a disk of its own needs root: run the tests as root")
	}
	image := dir + ".ext4"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatalf("lab: %v", err)
	}
	d := &Disk{t: t, dir: dir}
	d.run("truncate", "-s", "16M", image)
	d.run("mkfs.ext4", "-q", image)
	d.run("mount", "-o", "loop", image, dir)
	t.Cleanup(func() {
		d.Thaw()
		d.run("umount", "-l", dir)
		_ = os.Remove(image) // its directory is the test's, which is removed as well
	})
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatalf("lab: %v", err)
	}
	return d
}

// Fill uses all free space; Empty frees it.
func (d *Disk) Fill() {
	d.t.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		d.t.Fatalf("lab: %v", err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 { // smaller and smaller pieces fit
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
}

// Empty frees the space that Fill has used.
func (d *Disk) Empty() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatalf("lab: %v", err)
	}
}

func (d *Disk) filler() string { return filepath.Join(d.dir, "filler") }

// Dir is the mount point.
func (d *Disk) Dir() string { return d.dir }

// Fail makes the disk read-only for the rest of the test, as the kernel does after an error of the disk.
// Files stay open.
func (d *Disk) Fail() {
	d.t.Helper()
	d.run("mount", "-o", "remount,abort,errors=remount-ro", d.dir)
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
		d.t.Fatalf("lab: %s %q: %v: %s", name, args, err, out)
	}
}
