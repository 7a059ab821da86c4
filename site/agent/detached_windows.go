package agent

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// DefaultDir is the directory of an agent that runs as a service.
const DefaultDir = `C:\ProgramData\skerry\agent`

// detached gives a process a hidden console of its own, by which its program gets ctrl-c and ctrl-break.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.CREATE_NEW_CONSOLE}
}

// terminate ends a process. Instances are not children that end with it.
func terminate(p *os.Process) error { return p.Kill() }
