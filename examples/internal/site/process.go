package site

import (
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs, or has run, at a site.
type Process struct {
	Name             string
	Service, Version string // "" for programs other than the portal's services
	Addr             string // host:port that it serves

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu    sync.Mutex
	state State
	err   error     // how it ended
	ended time.Time // when
}

// State is the state of a process.
type State string

// The states, in words.
const (
	Starting State = "starting"
	Serving  State = "serving"
	Killed   State = "killed"
	Stopping State = "stopping"
	Stopped  State = "stopped"
	Left     State = "left" // by itself, with status 0, when its version was released away
	Died     State = "died" // by itself, with another status
)

func (p *Process) reap() {
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.ended = err, time.Now()
	switch p.state {
	case Stopping:
		p.state = Stopped
	case Starting, Serving:
		p.state = Died
		if err == nil {
			p.state = Left
		}
	}
	close(p.done)
}

// Kill ends the process as a power failure would: kill -9.
func (p *Process) Kill() error {
	p.set(Killed)
	return p.cmd.Process.Kill()
}

// Stop asks the process to leave, as a service manager does: SIGTERM.
func (p *Process) Stop() error {
	p.set(Stopping)
	return p.cmd.Process.Signal(syscall.SIGTERM)
}

func (p *Process) set(to State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = to
}

// Answered records that a call to the process was answered, so a starting process is serving.
func (p *Process) Answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == Starting {
		p.state = Serving
	}
}

// State is the process's state now.
func (p *Process) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended returns when and how the process ended: nil for status 0. The time is zero while it runs.
func (p *Process) Ended() (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended, p.err
}
