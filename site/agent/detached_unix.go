//go:build unix

package agent

import "syscall"

// DefaultDir is the directory of an agent that runs as root.
const DefaultDir = "/var/lib/skerry/agent"

// detached lets a process live on when the agent and its terminal end.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
