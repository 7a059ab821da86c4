package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// site is the make-believe site: its network, a cluster of its own on the
// loopback interface, and its processes.
type site struct {
	bin, dir string // programs; configurations and logs
	cluster  string
	lanPort  int // UDP

	mu        sync.Mutex
	processes []*process // in the order of their start
	reapers   sync.WaitGroup
}

// process is one instance of a service.
type process struct {
	name, service, version string
	addr                   string // host:port that it serves

	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
	err   error         // how it ended; read after done
	ended time.Time     // when; read after done

	mu    sync.Mutex
	state state
}

// state is what has been done to a process, as the table shows it.
type state string

const (
	starting state = "starting"
	serving  state = "serving"
	killed   state = "killed"
	stopping state = "stopping"
	stopped  state = "stopped"
	died     state = "died" // by itself: not in the play
)

func newSite(bin, dir string) (*site, error) {
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free UDP port: %w", err)
	}
	defer socket.Close()
	return &site{
		bin:     bin,
		dir:     dir,
		cluster: fmt.Sprintf("demo-%d", os.Getpid()),
		lanPort: socket.LocalAddr().(*net.UDPAddr).Port,
	}, nil
}

// config is the configuration file of one process. Beside the name of the
// cluster a real one needs none of it: everything has a default. This one
// keeps the demo on this machine, and on ports that nobody else uses.
func (s *site) config(name, service, version, addr string) string {
	text := fmt.Sprintf("cluster: %s\nmode: broadcast\nlan: {interfaces: [127.0.0.0/8], port: %d}\nstate: {dir: %q}\n",
		s.cluster, s.lanPort, filepath.Join(s.dir, name))
	if service != "" {
		text += fmt.Sprintf("service: {name: %s, version: %s, listen: %q}\n", service, version, addr)
	}
	if service == "proc" {
		text += "consumers:\n  auth: {idempotent: [verify]}\n  db: {idempotent: [read]}\n"
	}
	return text
}

// writeConfig puts a configuration into a file and returns its path.
func (s *site) writeConfig(name, text string) (string, error) {
	path := filepath.Join(s.dir, name+".yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// start starts a process of a service. Its name is the service and a number:
// auth-3.
func (s *site) start(name, service, version string) error {
	addr, err := freeAddr()
	if err != nil {
		return fmt.Errorf("find a free TCP port: %w", err)
	}
	config, err := s.writeConfig(name, s.config(name, service, version, addr))
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	p := &process{name: name, service: service, version: version, addr: addr, state: starting, done: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(s.bin, service), "-config", config)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	s.reapers.Go(p.reap)
	return nil
}

func (p *process) reap() {
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.ended = err, time.Now()
	switch p.state {
	case stopping:
		p.state = stopped
	case starting, serving:
		p.state = died
	}
	close(p.done)
}

// kill ends the process as a power failure would: kill -9.
func (p *process) kill() error {
	p.set(killed)
	return p.cmd.Process.Kill()
}

// stop asks the process to leave, as a service manager does: SIGTERM.
func (p *process) stop() error {
	p.set(stopping)
	return p.cmd.Process.Signal(syscall.SIGTERM)
}

func (p *process) set(to state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = to
}

// is returns the process's state; a starting one becomes serving once it has
// answered a call.
func (p *process) is(answered bool) state {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == starting && answered {
		p.state = serving
	}
	return p.state
}

func (s *site) all() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*process(nil), s.processes...)
}

// find returns the process by name; the scenes name no others than exist.
func (s *site) find(name string) *process {
	for _, p := range s.all() {
		if p.name == name {
			return p
		}
	}
	panic("no process " + name + " in the play")
}

// close stops what still runs: politely, then not.
func (s *site) close() {
	for _, p := range s.all() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	patience := time.After(5 * time.Second)
	for _, p := range s.all() {
		select {
		case <-p.done:
		case <-patience:
			_ = p.cmd.Process.Kill()
			<-p.done
			patience = time.After(0)
		}
	}
	s.reapers.Wait()
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
