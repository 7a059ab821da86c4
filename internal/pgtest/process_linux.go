package pgtest

import (
	"errors"
	"os/exec"
	"syscall"
)

// The signals that servers and poolers get.
const (
	sigFast   = syscall.SIGINT // PostgreSQL: fast shutdown
	sigQuit   = syscall.SIGQUIT
	sigKill   = syscall.SIGKILL
	sigFreeze = syscall.SIGSTOP
	sigThaw   = syscall.SIGCONT
)

// supported is nil where servers can be run.
func supported() error { return nil }

// signal sends a signal to a process.
func signal(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

// hasEnded reports whether an error of signal says that there is no such process.
func hasEnded(err error) bool { return errors.Is(err, syscall.ESRCH) }

// endWithThread has the kernel send a signal to the command when the thread
// that starts it ends. group gives the command a process group of its own.
func endWithThread(cmd *exec.Cmd, sig syscall.Signal, group bool) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = sig
	cmd.SysProcAttr.Setpgid = group
}

// runAs has the command run as the unprivileged user.
func (u *unprivileged) runAs(cmd *exec.Cmd) {
	if u != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid)}
	}
}
