//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// Host is a network namespace with its own interfaces.
type Host struct {
	Index     int
	Namespace string

	lan     *LAN
	faults  faults
	line    *atomic.Pointer[Line] // nil: a cable
	mu      sync.Mutex
	started []*Process
}

func (h *Host) make(p plan) {
	l := h.lan
	l.ip("netns", "add", h.Namespace)
	v6 := "net.ipv6.conf.default.accept_dad=0" // link-local addresses are usable at once
	if p.noIPv6 {
		v6 = "net.ipv6.conf.default.disable_ipv6=1"
	}
	h.Run("sysctl", "-qw", v6)
	l.ip("-n", h.Namespace, "link", "set", "lo", "up")
	h.Connect("eth0", 0)
	if h.Index < p.second {
		h.Connect("eth1", 1)
	}
}

// Connect gives the host an interface on LAN 0 or 1, with the address of
// IP(lan). A host has at most one on each.
func (h *Host) Connect(iface string, lan int) {
	l, port := h.lan, h.port(lan)
	l.ip("link", "add", port, "netns", l.hub(), "type", "veth", "peer", "name", iface, "netns", h.Namespace)
	l.ip("-n", l.hub(), "link", "set", port, "master", fmt.Sprintf("br%d", lan), "up")
	l.ip("-n", h.Namespace, "link", "set", iface, "address", h.mac(lan))
	l.ip("-n", h.Namespace, "addr", "add", h.IP(lan)+"/24", "brd", "+", "dev", iface)
	l.ip("-n", h.Namespace, "link", "set", iface, "up")
}

// Disconnect removes the host's interface on a LAN for good.
func (h *Host) Disconnect(lan int) { h.lan.ip("-n", h.lan.hub(), "link", "del", h.port(lan)) }

// port is the name of the host's end at the bridge.
func (h *Host) port(lan int) string { return fmt.Sprintf("p%d-%d", lan, h.Index) }

func (h *Host) mac(lan int) string { return fmt.Sprintf("02:00:73:6b:%02x:%02x", lan, h.Index+1) }

// LinkLocal is the host's IPv6 address on LAN 0 or 1, which Linux makes of its hardware address.
func (h *Host) LinkLocal(lan int) string {
	return fmt.Sprintf("fe80::73ff:fe6b:%x", lan<<8|(h.Index+1))
}

// IP is the host's IPv4 address on LAN 0 or 1.
func (h *Host) IP(lan int) string { return fmt.Sprintf("10.%d.0.%d", 77+lan, h.Index+1) }

// Command returns a command for the host. It is not tied to the test; see Start.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	c := exec.Command("ip", append([]string{"netns", "exec", h.Namespace, name}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// Run runs a command in the host to its end and returns its output.
func (h *Host) Run(name string, args ...string) string {
	h.lan.t.Helper()
	out, err := h.Command(name, args...).CombinedOutput()
	if err != nil {
		h.lan.t.Fatalf("lab: host %d: %s %s: %v: %s", h.Index, name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Process is a command that runs in a host until it is stopped or the test
// ends.
type Process struct {
	Cmd   *exec.Cmd
	Stdin io.WriteCloser

	out   lockedBuffer
	group *run.Group
	done  chan struct{}
	err   error
}

// Start starts a command in the host; it is killed at the end of the test.
func (h *Host) Start(name string, args ...string) *Process {
	h.lan.t.Helper()
	return h.StartCommand(h.Command(name, args...))
}

// StartCommand starts a result of Command. Without a Stdout of the caller, Output reads its output.
func (h *Host) StartCommand(c *exec.Cmd) *Process {
	h.lan.t.Helper()
	p := &Process{Cmd: c, done: make(chan struct{})}
	if c.Stdout == nil {
		c.Stdout = &p.out
	}
	if c.Stderr == nil {
		c.Stderr = &p.out
	}
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		h.lan.t.Fatalf("lab: host %d: start %s: %v", h.Index, strings.Join(c.Args, " "), err)
	}
	p.Stdin = in
	h.mu.Lock()
	h.started = append(h.started, p)
	h.mu.Unlock()
	p.group = run.NewGroup(context.Background())
	p.group.Go(func(context.Context) error {
		p.err = c.Wait()
		close(p.done)
		return nil
	})
	return p
}

func (h *Host) stopAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.started {
		p.Kill()
	}
}

// Kill is kill -9; it returns when the process is gone.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// Signal sends a signal, such as syscall.SIGTERM.
func (p *Process) Signal(s syscall.Signal) error { return p.Cmd.Process.Signal(s) }

// Wait waits for the end of the process, at most the given time, and returns
// its error.
func (p *Process) Wait(within time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(within):
		return fmt.Errorf("still running after %v", within)
	}
}

// Output is what the process has printed so far.
func (p *Process) Output() string { return p.out.String() }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
