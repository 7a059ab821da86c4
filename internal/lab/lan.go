//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// prefix begins the names of all namespaces: prefix + pid + number + host.
const prefix = "sklab-"

var labs atomic.Int64

// LAN is a set of hosts on one or two networks. Its methods fail the test
// when a command fails, and belong to the test's goroutine.
type LAN struct {
	t     T
	name  string
	hosts []*Host
}

// Option is an option of New.
type Option func(*plan)

type plan struct {
	second int
	noIPv6 bool
}

// Second gives the first n hosts a second interface, eth1, on a second LAN.
func Second(n int) Option { return func(p *plan) { p.second = n } }

// WithoutIPv6 switches IPv6 off in every host.
func WithoutIPv6() Option { return func(p *plan) { p.noIPv6 = true } }

// New makes a LAN of n hosts (at most 250), removed at the end of the test.
func New(t T, n int, options ...Option) *LAN {
	t.Helper()
	require(t)
	makeRoom(t, n)
	sweep()
	var p plan
	for _, o := range options {
		o(&p)
	}
	l := &LAN{t: t, name: fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), labs.Add(1))}
	t.Cleanup(l.remove)
	l.ip("netns", "add", l.hub())
	for _, bridge := range []string{"br0", "br1"} {
		l.ip("-n", l.hub(), "link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0")
		l.ip("-n", l.hub(), "link", "set", bridge, "up")
	}
	for i := range n {
		h := &Host{lan: l, Index: i, Namespace: fmt.Sprintf("%s-%d", l.name, i)}
		l.hosts = append(l.hosts, h)
		h.make(p)
	}
	return l
}

// require fails the test when the machine can't have a lab.
func require(t T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("lab: network namespaces need root: run the tests as root")
	}
	for tool, pkg := range map[string]string{"ip": "iproute2", "nft": "nftables"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("lab: %s is not installed; install the package %s", tool, pkg)
		}
	}
}

func (l *LAN) hub() string { return l.name + "-hub" }

// Host is the host with an index from 0.
func (l *LAN) Host(i int) *Host { return l.hosts[i] }

// Hosts are all hosts in order.
func (l *LAN) Hosts() []*Host { return l.hosts }

func (l *LAN) ip(args ...string) string { l.t.Helper(); return l.command("", "ip", args...) }

// command runs a tool of the machine with the given standard input.
func (l *LAN) command(stdin, tool string, args ...string) string {
	l.t.Helper()
	out, err := execute(stdin, tool, args...)
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	return out
}

func execute(stdin, tool string, args ...string) (string, error) {
	c := exec.Command(tool, args...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s%s", tool, strings.Join(args, " "), err, out, stdin)
	}
	return string(out), nil
}

func (l *LAN) remove() {
	for _, h := range l.hosts {
		h.stopAll()
	}
	for _, h := range l.hosts {
		removeNamespace(h.Namespace)
	}
	removeNamespace(l.hub())
}

// removeNamespace ends the processes in a namespace and deletes it. A missing namespace is not an
// error.
func removeNamespace(name string) {
	if pids, err := execute("", "ip", "netns", "pids", name); err == nil {
		for _, pid := range strings.Fields(pids) {
			if n, err := strconv.Atoi(pid); err == nil {
				if p, err := os.FindProcess(n); err == nil {
					_ = p.Kill() // it may have ended meanwhile
				}
			}
		}
	}
	_, _ = execute("", "ip", "netns", "del", name)
}

// sweep removes labs of test processes that no longer exist.
func sweep() {
	out, err := execute("", "ip", "netns", "list")
	if err != nil {
		return
	}
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, prefix)
		pid, _, _ := strings.Cut(rest, "-")
		if _, err := strconv.Atoi(pid); !ours || err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			removeNamespace(name)
		}
	}
}

// Eventually checks every 10 ms until ok holds, and fails the test with what() after the given
// time. It returns the elapsed time.
func Eventually(t T, within time.Duration, ok func() bool, what func() string) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > within {
			t.Fatalf("not within %v: %s", within, what())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(begin)
}
