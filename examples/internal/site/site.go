package site

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// PortalCommands are the programs of the portal, and the command for them.
var PortalCommands = []string{"./cmd/skerry", "./examples/portal/cmd/auth", "./examples/portal/cmd/db",
	"./examples/portal/cmd/portal", "./examples/portal/cmd/proc"}

// sites counts those of this process: several may begin in one millisecond, and must not meet.
var sites atomic.Int64

// Site is a cluster and its processes.
type Site struct {
	bin, dir string // programs; configurations and logs
	cluster  string
	lanPort  int    // UDP
	database string // URL; "" = broadcast mode

	mu        sync.Mutex
	processes []*Process // in the order of their start
	reapers   sync.WaitGroup
}

// New makes a site without processes. The programs are in bin; configurations and logs go into dir.
// Without the URL of a database the site is in broadcast mode.
func New(bin, dir, database string) (*Site, error) {
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free UDP port: %w", err)
	}
	defer socket.Close()
	return &Site{
		bin:      bin,
		dir:      dir,
		cluster:  fmt.Sprintf("portal-%d-%d-%d", os.Getpid(), time.Now().UnixMilli(), sites.Add(1)),
		lanPort:  socket.LocalAddr().(*net.UDPAddr).Port,
		database: database,
	}, nil
}

// Cluster is the site's name.
func (s *Site) Cluster() string { return s.cluster }

// LogPath is the path of a process's log.
func (s *Site) LogPath(name string) string { return filepath.Join(s.dir, name+".log") }

// Config writes the configuration file of a consumer and returns its path.
func (s *Site) Config(name string) (string, error) { return s.config(name, "", "", "") }

// config writes the configuration file of a process. A real one needs only the name of the cluster,
// because everything else has a default. This one keeps the processes on this machine and on their
// own ports.
func (s *Site) config(name, service, version, addr string) (string, error) {
	var b strings.Builder
	if service != "" {
		fmt.Fprintf(&b, "service: {name: %s, version: %s, listen: %q}\n", service, version, addr)
	}
	b.WriteString("consumers:\n  \"*\": {timeout: 5s}\n") // a call may wait for a restart on a busy machine
	if service == "proc" {
		b.WriteString("  auth: {idempotent: [verify]}\n  db: {idempotent: [read]}\n")
	}
	return s.Configure(name, b.String())
}

// Configure writes the configuration file of a process: the lines that every process of the site has, and the given
// ones.
func (s *Site) Configure(name, lines string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster: %s\n", s.cluster)
	if s.database == "" {
		fmt.Fprintln(&b, "mode: broadcast")
	} else {
		fmt.Fprintf(&b, "mode: database\ndatabase: {url: %q}\n", s.database)
	}
	fmt.Fprintf(&b, "lan: {interfaces: [127.0.0.0/8], port: %d}\n", s.lanPort)
	fmt.Fprintf(&b, "state_dir: %q\n", filepath.Join(s.dir, name+".state"))
	b.WriteString(lines)
	path := filepath.Join(s.dir, name+".yaml")
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
}

// Serve starts a process of one of the portal's services. Its name is for readers, like auth-3.
func (s *Site) Serve(name, service, version string) (*Process, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	config, err := s.config(name, service, version, addr)
	if err != nil {
		return nil, err
	}
	p := &Process{Name: name, Service: service, Version: version, Addr: addr}
	return p, s.start(p, filepath.Join(s.bin, service), "-config", config)
}

// Program is the path of a program in the site's directory of programs.
func (s *Site) Program(name string) string { return filepath.Join(s.bin, name) }

// Run starts any other program at the site.
func (s *Site) Run(name, program string, args ...string) (*Process, error) {
	return s.RunAs(&Process{Name: name}, program, args...)
}

// RunAs starts a program as p, which says its name and what it serves.
func (s *Site) RunAs(p *Process, program string, args ...string) (*Process, error) {
	return p, s.start(p, program, args...)
}

func (s *Site) start(p *Process, program string, args ...string) error {
	log, err := os.OpenFile(s.LogPath(p.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	p.state, p.done = Starting, make(chan struct{})
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	s.reapers.Go(p.reap)
	return nil
}

// Processes returns the started processes in order, including ended ones.
func (s *Site) Processes() []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.processes)
}

// Find returns the process that was started last under a name, nil when there is none.
func (s *Site) Find(name string) *Process {
	for _, p := range slices.Backward(s.Processes()) {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Close stops running processes politely, and kills them after five seconds.
func (s *Site) Close() {
	all := s.Processes()
	for _, p := range all {
		if when, _ := p.Ended(); when.IsZero() {
			_ = p.Stop() // an error means that it has ended meanwhile
		}
	}
	patience := time.After(5 * time.Second)
	for _, p := range all {
		select {
		case <-p.done:
			continue
		case <-patience:
		}
		for _, late := range all {
			_ = late.cmd.Process.Kill()
		}
		break
	}
	s.reapers.Wait()
}

// FreeAddr returns an address of this machine, host:port, without a listener. Its port is below the
// ephemeral ports, so that no program gets it by chance before a process listens there. No other
// program gets it by FreeAddr before this one ends, nor this one twice.
func FreeAddr() (string, error) {
	var err error
	for range 100 {
		n := rand.IntN(ports)
		addr := local(firstPort + n)
		var claim, l net.Listener
		if claim, err = net.Listen("tcp4", local(firstClaim+n)); err != nil {
			continue
		}
		if l, err = net.Listen("tcp4", addr); err == nil {
			claims.Lock()
			defer claims.Unlock()
			claims.held = append(claims.held, claim)
			return addr, l.Close()
		}
		_ = claim.Close()
	}
	return "", fmt.Errorf("find a free TCP port: %w", err)
}

// Each port of FreeAddr has another one by its side, on which the program listens that it was given
// to. The system ends the claim with the program, however that ends.
const (
	firstPort, firstClaim = 20_000, 10_000
	ports                 = 10_000
)

// claims keeps the listeners from being closed as garbage.
var claims struct {
	sync.Mutex
	held []net.Listener
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
