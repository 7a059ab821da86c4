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

	"github.com/skerry/skerry/internal/statedir"
)

// process is a process as /proc shows it.
type process struct {
	pid, parent int
	zombie      bool
	start       uint64 // clock ticks after the boot
}

// readProcess returns a process; ok is false when it is gone.
func readProcess(pid int) (p process, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, false
	}
	return parseStat(pid, text)
}

// parseStat reads /proc/PID/stat. The name of the program stands in parentheses and may hold anything.
func parseStat(pid int, text []byte) (p process, ok bool) {
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return p, false
	}
	f := bytes.Fields(text[i+1:])
	if len(f) < 20 {
		return p, false
	}
	parent, err1 := strconv.Atoi(string(f[1]))
	start, err2 := strconv.ParseUint(string(f[19]), 10, 64)
	state := f[0][0]
	return process{pid, parent, state == 'Z' || state == 'X', start}, err1 == nil && err2 == nil
}

// processes are those that /proc shows.
func processes() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []process
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := readProcess(pid); ok {
				all = append(all, p)
			}
		}
	}
	return all
}

// descendants are the living descendants of a process.
func descendants(of int) []process {
	all := processes()
	children := map[int][]process{}
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []process
	for todo := []int{of}; len(todo) > 0; todo = todo[1:] {
		for _, p := range children[todo[0]] {
			todo = append(todo, p.pid)
			if !p.zombie {
				found = append(found, p)
			}
		}
		delete(children, todo[0]) // numbers that were read at different times may form a circle
	}
	return found
}

// kill kills a process if it is ours. The signal goes to a handle of the process, because its number may soon belong to
// another one. Either ours has looked at the process that the signal reaches, or that process is gone and the signal
// reaches none.
func (p process) kill(ours func(pid int) bool) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.3
		if now, ok := readProcess(p.pid); ok && now.start == p.start && ours(p.pid) {
			unix.Kill(p.pid, unix.SIGKILL)
		}
		return
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if ours(p.pid) {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// isBelow reports whether a process descends from this one. Numbers may be reused while they are read, under a fork
// bomb within a second. So a parent counts only if it is still the parent after its own parent was read.
func isBelow(pid int) bool {
	const deepest = 10_000
	p, ok := readProcess(pid)
	for range deepest {
		switch {
		case !ok || p.parent <= 1:
			return false
		case p.parent == os.Getpid():
			return true
		}
		parent, there := readProcess(p.parent)
		again, same := readProcess(p.pid)
		if !there || !same {
			return false
		}
		if again.parent == p.parent {
			again = parent
		}
		p = again
	}
	return false
}

// has reports whether a process was started with a token in its environment.
func has(pid int, token string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	want := []byte(tokenName + "=" + token)
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(v, want) {
			return true
		}
	}
	return false
}

func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(text))
}

func self() Process {
	p, _ := readProcess(os.Getpid())
	return Process{PID: os.Getpid(), Start: p.start}
}

// sweep kills what an earlier shim of the directory has left. It trusts no process number of the state: the state may
// be old, and the number may belong to another process now.
func sweep(dir string, spec *Spec) error {
	old, err := ReadState(dir)
	if err != nil || old.Boot != bootID() {
		return onlyUnsafe(err)
	}
	sweepCgroup(spec, old.Token)
	for end, wait := time.Now().Add(killTime), time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		left := 0
		for _, p := range processes() {
			if ours := func(pid int) bool { return has(pid, old.Token) }; !p.zombie && ours(p.pid) {
				p.kill(ours)
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes of the shim before do not die", left)
		}
		time.Sleep(wait)
	}
}

// onlyUnsafe lets a missing or unreadable state pass: there is nothing to sweep then. An unsafe directory is an
// error.
func onlyUnsafe(err error) error {
	if _, unsafe := errors.AsType[*statedir.UnsafeError](err); unsafe {
		return err
	}
	return nil
}

var cgroupMounts = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// Cgroup returns the directory below which the agent may make control groups for its instances, and makes it. It
// returns "" where the host gives none.
func Cgroup() string {
	for _, mount := range cgroupMounts {
		var fs unix.Statfs_t
		if unix.Statfs(mount, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		dir := filepath.Join(mount, "skerry.slice")
		if os.Geteuid() != 0 {
			dir = filepath.Join(mount, ownCgroup(), "instances")
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			return ""
		}
		for _, file := range []string{"cgroup.procs", "cgroup.kill"} { // the second since Linux 5.14
			if unix.Access(filepath.Join(dir, file), unix.W_OK) != nil {
				return ""
			}
		}
		for _, c := range []string{"+memory", "+cpu", "+pids"} { // each alone: a host may lack one
			os.WriteFile(filepath.Join(filepath.Dir(dir), "cgroup.subtree_control"), []byte(c), 0)
			os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(c), 0)
		}
		return dir
	}
	return ""
}

// ownCgroup is the control group of this process, below the mount.
func ownCgroup() string {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range bytes.Lines(text) {
		if path, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("0::")); ok {
			return string(path)
		}
	}
	return ""
}
