//go:build !linux

package pgtest

import (
	"errors"
	"os/exec"
	"syscall"
)

// The package compiles on other systems, so that vet can check the tests that use it. Every start
// of a server fails.

const (
	sigFast   = syscall.SIGINT
	sigQuit   = syscall.SIGQUIT
	sigKill   = syscall.SIGKILL
	sigFreeze = syscall.SIGKILL
	sigThaw   = syscall.SIGKILL
)

func supported() error {
	return errors.New("this test starts a private PostgreSQL, and does so on Linux only")
}

func signal(int, syscall.Signal) error { return supported() }

func hasEnded(error) bool { return false }

func endWithThread(*exec.Cmd, syscall.Signal, bool) {}

func (u *unprivileged) runAs(*exec.Cmd) {}
