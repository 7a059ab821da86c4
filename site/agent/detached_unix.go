//go:build unix

package agent

import (
	"os"
	"syscall"
)

// DefaultDir is the directory of an agent that runs as root.
const DefaultDir = "/var/lib/skerry/agent"

// detached lets a process live on when the agent and its terminal end.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// terminate asks a process to end.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
