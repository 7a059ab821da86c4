//go:build unix

package gitrepo

import (
	"os"
	"os/exec"
	"syscall"
)

// asOwner has root run a command as the owner of a directory, so that its configuration decides about no more than
// the owner may.
func asOwner(c *exec.Cmd, dir string) {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.Uid, Gid: s.Gid}}
	}
}
