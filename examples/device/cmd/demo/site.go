package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// site is a make-believe site on this machine: a cluster of its own, confined
// to the loopback interface.
type site struct {
	bin, dir string
	cluster  string
	port     int // UDP
	out      io.Writer
	running  []*process
	reapers  sync.WaitGroup
}

// process is a pump of one version.
type process struct {
	version string
	cmd     *exec.Cmd
	done    chan struct{} // closed when it has ended
}

func newSite(bin, dir string, out io.Writer) (*site, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free UDP port: %w", err)
	}
	defer socket.Close()
	return &site{bin: bin, dir: dir, out: out, port: socket.LocalAddr().(*net.UDPAddr).Port,
		cluster: fmt.Sprintf("device-%d-%d", os.Getpid(), time.Now().UnixMilli())}, nil
}

func (s *site) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// device is the path of the file that stands for the device.
func (s *site) device() string { return filepath.Join(s.dir, "pump.device") }

// config writes a configuration file. version is the pump's, "" for processes that only call it.
func (s *site) config(name, version string) (string, error) {
	text := fmt.Sprintf("cluster: %s\nmode: broadcast\nlan: {interfaces: [127.0.0.0/8], port: %d}\nstate_dir: %q\n",
		s.cluster, s.port, filepath.Join(s.dir, name+".state"))
	if version != "" {
		text += fmt.Sprintf("service: {name: pump, version: %s, listen: \"127.0.0.1:0\"}\n", version)
	} else {
		text += fmt.Sprintf("consumers: {pump: {timeout: %v}}\n", deadline)
	}
	path := filepath.Join(s.dir, name+".yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// start starts a pump.
func (s *site) start(version string) (*process, error) {
	config, err := s.config("pump-"+version, version)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "pump-"+version+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	p := &process{version: version, done: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(s.bin, "pump"), "-config", config, "-device", s.device())
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start pump %s: %w", version, err)
	}
	s.running = append(s.running, p)
	s.reapers.Go(func() {
		defer close(p.done)
		_ = p.cmd.Wait() // its log has the exit status
	})
	return p, nil
}

// says waits until a pump has logged words, and returns their line.
func (s *site) says(ctx context.Context, version, words string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	for {
		text, err := os.ReadFile(filepath.Join(s.dir, "pump-"+version+".log"))
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, words) {
				_, said, _ := strings.Cut(strings.TrimSpace(line), " ") // without the time
				return said, nil
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return "", fmt.Errorf("pump %s has not said %q: %w", version, words, ctx.Err())
		}
	}
}

// stop asks a pump to leave, as a service manager does.
func (p *process) stop() { _ = p.cmd.Process.Signal(syscall.SIGTERM) } // an error: it has ended

// ended reports whether the process has ended within a time.
func (p *process) ended(within time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(within):
		return false
	}
}

// close stops running processes politely, and kills them after five seconds.
func (s *site) close() {
	for _, p := range s.running {
		p.stop()
	}
	patience := time.Now().Add(5 * time.Second)
	for _, p := range s.running {
		if !p.ended(time.Until(patience)) {
			_ = p.cmd.Process.Kill()
		}
	}
	s.reapers.Wait()
}

// release runs the operator's command and shows its output. hear gets each line.
func (s *site) release(ctx context.Context, hear func(line string) error, args ...string) error {
	config, err := s.config("operator", "")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	s.say("\n$ skerry release %s", strings.Join(args, " "))
	c := exec.CommandContext(ctx, filepath.Join(s.bin, "skerry"), append([]string{"release", "-c", config, "--yes"},
		args...)...)
	said, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		return err
	}
	var heard error
	for lines := bufio.NewScanner(said); lines.Scan(); {
		s.say("  %s", lines.Text())
		if hear != nil && heard == nil {
			heard = hear(lines.Text())
		}
	}
	if err := c.Wait(); err != nil {
		return fmt.Errorf("skerry release %s: %w", strings.Join(args, " "), err)
	}
	return heard
}

// stepLimit is for one step of a release on a busy machine.
const stepLimit = 60 * time.Second
