package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/run"
)

// stage is a lab.T for a command: a failure ends the scene, and then everything is cleaned up.
type stage struct{ ends []func() }

type failure struct{ error }

func (*stage) Helper()                     {}
func (s *stage) Cleanup(f func())          { s.ends = append(s.ends, f) }
func (s *stage) Fatal(args ...any)         { panic(failure{errors.New(fmt.Sprint(args...))}) }
func (s *stage) Fatalf(f string, a ...any) { panic(failure{fmt.Errorf(f, a...)}) }

// play runs a scene on a new stage.
func play(scene func(*stage) error) (err error) {
	s := &stage{}
	defer func() {
		for i := len(s.ends) - 1; i >= 0; i-- {
			s.ends[i]()
		}
		switch f := recover().(type) {
		case nil:
		case failure:
			err = f.error
		default:
			panic(f)
		}
	}()
	return scene(s)
}

// host is a fresh host: network, mount and uts namespaces. Of the machine it has the system's programs;
// its directories for software, configuration and data are its own, and empty.
type host struct {
	name string
	net  *lab.Host
	pid  int // of the process that holds the namespaces
}

// hostNames are the names of the hosts; the application has one service on each.
var hostNames = []string{"ops-1", "ops-2", "ops-3", "ops-4"}

// newHosts makes the hosts. All have the stick at the same device, and mount it by turns.
func newHosts(ctx context.Context, t *stage, dir, device string) ([]*host, error) {
	network := lab.New(t, len(hostNames))
	var hosts []*host
	for i, name := range hostNames {
		h := &host{name: name, net: network.Host(i)}
		own := filepath.Join(dir, name)
		for path, mode := range map[string]os.FileMode{"usr/local/bin": 0o755, "run": 0o755} {
			if err := os.MkdirAll(filepath.Join(own, path), mode); err != nil {
				return nil, err
			}
		}
		if err := os.WriteFile(filepath.Join(own, "usr/local/bin/systemctl"), systemctl, 0o755); err != nil {
			return nil, err
		}
		p := h.net.StartCommand(h.net.Command("unshare", "--uts", "sh", "-c", hostScript, "host", own, name, device))
		h.pid = p.Cmd.Process.Pid
		for end := time.Now().Add(30 * time.Second); !strings.Contains(p.Output(), "ready"); {
			if time.Now().After(end) || ctx.Err() != nil {
				return nil, fmt.Errorf("host %s is not ready: %s", name, p.Output())
			}
			time.Sleep(10 * time.Millisecond)
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// command is a command of the host.
func (h *host) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	enter := []string{"-t", strconv.Itoa(h.pid), "-m", "-u", "-n", "--wd=/", "--", name}
	c := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	c.Env = []string{"PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME=/root", "USER=root",
		"LANG=C.UTF-8"}
	c.WaitDelay = time.Second
	return c
}

const (
	commandTime = 3 * time.Minute // bounds a command that a person types
	readTime    = time.Minute     // bounds the wait for what a command shows
	readEvery   = 200 * time.Millisecond
)

// do does a step and returns what it printed.
func (h *host) do(ctx context.Context, s step) (string, error) {
	if s.walks {
		return "", nil
	}
	if s.file != "" {
		return "", h.edit(s)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	for end := time.Now().Add(readTime); ; {
		out, err := h.shell(ctx, s)
		if err == nil || !s.again || time.Now().After(end) || run.Sleep(ctx, readEvery) != nil {
			return out, err
		}
	}
}

func (h *host) shell(ctx context.Context, s step) (string, error) {
	c := h.command(ctx, "bash", "-c", s.command)
	c.Stdin = strings.NewReader(strings.Join(s.answers, "\n"))
	out, err := os.CreateTemp("", "deploy-output") // a pipe would wait for what the command leaves running
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	err = c.Run()
	text, _ := os.ReadFile(out.Name())
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w: %s", h.name, s.command, err, text)
	}
	return string(text), nil
}

// path is where the machine sees a file of the host.
func (h *host) path(file string) string { return fmt.Sprintf("/proc/%d/root%s", h.pid, file) }

func (h *host) edit(s step) error {
	text, err := os.ReadFile(h.path(s.file))
	if err != nil {
		return err
	}
	out, ok := s.apply(string(text))
	if !ok {
		return fmt.Errorf("%s: vi %s: one of %v is not there: %s", h.name, s.file, s.values, text)
	}
	return os.WriteFile(h.path(s.file), []byte(out), 0o644)
}

// process is one that runs on a host.
type process struct {
	name     string
	resident int // bytes
}

// processes are those of the site: all of the host but the one that holds it and the caller of the benchmark.
func (h *host) processes() (out []process, err error) {
	pids, err := exec.Command("ip", "netns", "pids", h.net.Namespace).Output()
	if err != nil {
		return nil, err
	}
	for _, pid := range strings.Fields(string(pids)) {
		text, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			continue // it has ended
		}
		p := process{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			switch fields := strings.Fields(value); {
			case key == "Name" && len(fields) > 0:
				p.name = fields[0]
			case key == "VmRSS" && len(fields) > 0:
				p.resident, _ = strconv.Atoi(fields[0])
				p.resident <<= 10
			}
		}
		if line, _ := os.ReadFile("/proc/" + pid + "/cmdline"); pid != strconv.Itoa(h.pid) &&
			!strings.Contains(string(line), probeName) {
			out = append(out, p)
		}
	}
	return out, nil
}
