package pgtest

import (
	"errors"
	"os/exec"
	"syscall"
)

// The signals for servers and poolers.
const (
	sigFast   = syscall.SIGINT // PostgreSQL: fast shutdown
	sigQuit   = syscall.SIGQUIT
	sigKill   = syscall.SIGKILL
	sigFreeze = syscall.SIGSTOP
	sigThaw   = syscall.SIGCONT
)

// supported is nil on systems that can run a server.
func supported() error { return nil }

// signal sends a signal to a process.
func signal(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

// hasEnded reports whether an error of signal says that the process does not exist.
func hasEnded(err error) bool { return errors.Is(err, syscall.ESRCH) }

// endWithThread makes the kernel send a signal to the command when the thread that starts it ends.
// group gives the command a process group of its own.
func endWithThread(cmd *exec.Cmd, sig syscall.Signal, group bool) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = sig
	cmd.SysProcAttr.Setpgid = group
}

// runAs makes the command run as the unprivileged user.
func (u *unprivileged) runAs(cmd *exec.Cmd) {
	if u != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid)}
	}
}
