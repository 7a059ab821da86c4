package shim

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the program with all its descendants. The shim is their subreaper: a process that loses its parent becomes
// a child of the shim. All methods run in the goroutine, and thread, of the loop.
type tree struct {
	wake    chan os.Signal
	token   string
	group   *cgroup // nil: none
	pid     int     // of the program while it is unreaped, else 0
	exit    *Exit   // that collect has not returned yet
	started time.Time
	ooms    int64
}

// newTree prepares the shim for descendants.
func newTree(spec *Spec, token string) (*tree, []string, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, nil, fmt.Errorf("become the reaper of lost children: %w", err)
	}
	t := &tree{wake: make(chan os.Signal, 1), token: token}
	if n := uint64(spec.Limits.Files); n > 0 {
		// The program inherits it. Go restores a limit of before only when it was not set.
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return nil, nil, fmt.Errorf("limits.files %d: %w", n, err)
		}
	}
	group, unenforced, err := newCgroup(spec, token)
	if err != nil {
		return nil, nil, err
	}
	t.group = group
	signal.Notify(t.wake, syscall.SIGCHLD)
	return t, unenforced, nil
}

func (t *tree) close() {
	if t.group != nil {
		t.group.close()
	}
}

// start starts the program with its output in w.
func (t *tree) start(spec *Spec, w *os.File) (Process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return Process{}, err
	}
	defer null.Close()
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if u := spec.User; u != nil {
		attr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	if t.group != nil && t.started != (time.Time{}) {
		// A group in which processes were killed kills what is started into it, on Linux 6.18 at least.
		t.group.close()
		group, _, err := newCgroup(spec, t.token)
		if err != nil {
			return Process{}, err // the next start tries again: none is without its limits
		}
		t.group = group
	}
	if t.group != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(t.group.dir.Fd())
		t.ooms = t.group.ooms()
	}
	pid, err := syscall.ForkExec(spec.Command, append([]string{spec.Command}, spec.Args...), &syscall.ProcAttr{
		Dir:   spec.Dir,
		Env:   append(slices.Clone(spec.Env), tokenName+"="+t.token),
		Files: []uintptr{null.Fd(), w.Fd(), w.Fd()},
		Sys:   attr,
	})
	if err != nil {
		return Process{}, &os.PathError{Op: "start", Path: spec.Command, Err: err}
	}
	t.pid, t.started = pid, time.Now()
	p, _ := readProcess(pid) // it is there at least as a zombie
	return Process{PID: pid, Start: p.start}, nil
}

var signals = map[string]syscall.Signal{"term": syscall.SIGTERM, "int": syscall.SIGINT, "hup": syscall.SIGHUP,
	"quit": syscall.SIGQUIT, "usr1": syscall.SIGUSR1, "usr2": syscall.SIGUSR2}

// signal asks the program, and it alone, to end.
func (t *tree) signal(name string) {
	if t.pid != 0 {
		syscall.Kill(t.pid, signals[name])
	}
}

// collect reaps, and returns the end of the program once.
func (t *tree) collect() (Exit, bool) {
	t.reap()
	if t.exit == nil {
		return Exit{}, false
	}
	e := *t.exit
	t.exit = nil
	return e, true
}

// reap takes every child that has ended.
func (t *tree) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if pid != t.pid {
			continue
		}
		t.pid = 0
		e := Exit{Code: status.ExitStatus()}
		if status.Signaled() {
			e.Signal = unix.SignalName(status.Signal())
		}
		if t.group != nil {
			e.OOM = t.group.ooms() > t.ooms
		}
		t.exit = &e
	}
}

// kill kills all descendants and returns how many are alive after a time.
func (t *tree) kill(most time.Duration) (left int) {
	for end, wait := time.Now().Add(most), time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if t.group != nil {
			t.group.kill()
		}
		if t.pid != 0 {
			syscall.Kill(-t.pid, syscall.SIGKILL) // its own group, while the number is its own
		}
		alive := descendants(os.Getpid())
		for _, p := range alive {
			p.kill(isBelow)
		}
		t.reap()
		left = len(alive)
		if t.group != nil {
			left = max(left, t.group.populated())
		}
		if left == 0 || time.Now().After(end) {
			return left
		}
		time.Sleep(wait)
	}
}
