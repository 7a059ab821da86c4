//go:build !unix

package gitrepo

import "os/exec"

func asOwner(*exec.Cmd, string) {}
