package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nonBlocking opens a pipe that has come in the place of a file without a wait.
const nonBlocking = syscall.O_NONBLOCK

const killTime = 10 * time.Second

func supported() error { return nil }

// account is the user that runs the steps.
type account struct {
	uid, gid uint32
	groups   []uint32
	own0     bool // it is the builder's own user
}

// accountOf finds the user that runs steps. Root needs one.
func accountOf(name string) (*account, error) {
	uid := os.Geteuid()
	if name == "" && uid == 0 {
		return nil, errors.New("steps do not run as root; name a plain user in builder.yaml, such as user: build")
	}
	if name == "" {
		return &account{uid: uint32(uid), gid: uint32(os.Getegid()), own0: true}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user in builder.yaml: %w", err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	a := &account{}
	for i, text := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s has the number %q: %w", name, text, err)
		}
		switch i {
		case 0:
			a.uid = uint32(n)
		case 1:
			a.gid = uint32(n)
		default:
			a.groups = append(a.groups, uint32(n))
		}
	}
	a.own0 = int(a.uid) == uid
	switch {
	case a.uid == 0:
		return nil, errors.New("steps do not run as root; name another user in builder.yaml")
	case !a.own0 && uid != 0:
		return nil, fmt.Errorf("only root runs steps as %s; run the builder as root, or as %s", name, name)
	}
	return a, nil
}

func (a *account) own(path string) error {
	if a.own0 {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

func (a *account) ownIn(root *os.Root, name string) error {
	if a.own0 {
		return nil
	}
	return root.Lchown(name, int(a.uid), int(a.gid))
}

// reaches checks that the user may go to a directory of the builder.
func (a *account) reaches(dir string) error {
	if a.own0 {
		return nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if ok && s.Uid != a.uid && info.Mode()&0o001 == 0 {
			return fmt.Errorf("the user that runs the steps can't reach %s, as %s has the mode %v; let others go "+
				"through: chmod o+x %[2]s", dir, at, info.Mode().Perm())
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// owns reports whether a file is the user's. A name of a file of another user may lead to what the user can't read.
func (a *account) owns(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == a.uid
}

// run has a command run as the user, in a process group that dies with the builder.
func (a *account) run(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if !a.own0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid, Groups: a.groups}
	}
}

// execute runs a step. When it returns, no process of the step is left.
func (r *run) execute(ctx context.Context, step string, env []string) error {
	runtime.LockOSThread() // the signal at the death of the parent belongs to a thread
	defer runtime.UnlockOSThread()
	argv, dir := r.argv(step)
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	c := exec.Command(argv[0], argv[1:]...)
	c.Env, c.Dir, c.Stdout, c.Stderr = env, dir, in, in
	r.user.run(c)
	err = c.Start()
	in.Close()
	if err != nil {
		return err
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(r.log, out)
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		waitZombie(c.Process.Pid)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // the zombie keeps the number from strangers
	err = errors.Join(c.Wait(), sweep(r.token))
	_ = out.SetReadDeadline(time.Now().Add(killTime)) // of a process that does not die
	<-copied
	return err
}

// waitZombie waits for the end of a child, and leaves it to be waited for.
func waitZombie(pid int) {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}

// sweep kills the processes that have the token of a run in their environment, until there are none. It trusts no
// number: each is held by a handle while it is looked at.
func sweep(token string) error {
	want := []byte(tokenName + "=" + token)
	for end, wait := time.Now().Add(killTime), time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		left := 0
		names, _ := filepath.Glob("/proc/[0-9]*")
		for _, name := range names {
			pid, err := strconv.Atoi(filepath.Base(name))
			if err == nil && pid != os.Getpid() && has(pid, want) {
				left++
				killIf(pid, want)
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes of the steps do not die", left)
		}
		time.Sleep(wait)
	}
}

func has(pid int, want []byte) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool {
		return bytes.Equal(v, want)
	})
}

func killIf(pid int, want []byte) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ENOSYS) && has(pid, want) { // before Linux 5.3
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if has(pid, want) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}
