package shim

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is the control group of an instance.
type cgroup struct {
	path string
	dir  *os.File
}

// cgroupName is made of the token. parseState checks the form of the token, so a state file can't name another group.
func cgroupName(token string) string { return "skerry-" + token }

// newCgroup makes the control group of an instance, with its limits. Without one it is nil. unenforced names the
// limits that do not hold.
func newCgroup(spec *Spec, token string) (g *cgroup, unenforced []string, err error) {
	const period = 100_000 // µs
	files := []struct {
		limit, file, value string
		wanted             bool
	}{
		{"memory", "memory.max", strconv.FormatInt(spec.Limits.Memory, 10), spec.Limits.Memory > 0},
		{"cpu", "cpu.max", fmt.Sprintf("%d %d", spec.Limits.CPU*period/100, period), spec.Limits.CPU > 0},
		{"processes", "pids.max", strconv.Itoa(spec.Limits.Processes), spec.Limits.Processes > 0},
	}
	if spec.Cgroup != "" {
		if g, err = makeCgroup(filepath.Join(spec.Cgroup, cgroupName(token))); err != nil {
			return nil, nil, err
		}
	}
	for _, f := range files {
		if f.wanted && (g == nil || g.set(f.file, f.value) != nil) {
			unenforced = append(unenforced, f.limit)
		}
	}
	if g != nil && spec.Limits.Memory > 0 {
		g.set("memory.oom.group", "1") // a service without one of its processes is half a service
		g.set("memory.swap.max", "0")  // not every kernel has it
	}
	return g, unenforced, nil
}

func makeCgroup(path string) (*cgroup, error) {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("control group: %w", err)
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		dir.Close()
		os.Remove(path)
		return nil, fmt.Errorf("cgroup: %q is no control group of version 2", filepath.Dir(path))
	}
	return &cgroup{path, dir}, nil
}

func (g *cgroup) set(file, value string) error {
	f, err := os.OpenFile(filepath.Join(g.path, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// number returns a number of a file of lines NAME NUMBER.
func (g *cgroup) number(file, name string) int64 {
	text, _ := os.ReadFile(filepath.Join(g.path, file))
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == name {
			n, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return n
		}
	}
	return 0
}

// ooms counts processes that were killed at the limit of memory.
func (g *cgroup) ooms() int64 { return g.number("memory.events", "oom_kill") }

// populated is 1 while a process is in the group, else 0.
func (g *cgroup) populated() int { return int(g.number("cgroup.events", "populated")) }

// kill kills every process in the group, at once.
func (g *cgroup) kill() { g.set("cgroup.kill", "1") }

// close gives the group up. One that is not empty stays for the sweep of the next shim.
func (g *cgroup) close() {
	g.dir.Close()
	os.Remove(g.path)
}

// sweepCgroup kills what an earlier shim has left in its group.
func sweepCgroup(spec *Spec, token string) {
	if spec.Cgroup == "" {
		return
	}
	path := filepath.Join(spec.Cgroup, cgroupName(token))
	if _, err := os.Stat(path); err != nil {
		return
	}
	g, err := makeCgroup(path)
	if err != nil {
		return
	}
	for end := time.Now().Add(killTime); ; time.Sleep(10 * time.Millisecond) {
		g.kill()
		if g.populated() == 0 || time.Now().After(end) {
			break
		}
	}
	g.close()
}
