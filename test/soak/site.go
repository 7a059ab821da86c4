//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// The hosts of the site.
const (
	providers = 4 // the first ones
	baseHost  = providers
	callHosts = 2 // those behind it
)

var (
	services = []string{"portal", "auth", "proc"}
	calls    = map[string][]string{"portal": {"auth", "proc"}, "proc": {"auth"}}
	released = []string{"auth", "proc"} // by each release, together
)

// patience bounds a step of the run itself: an operator's command, repeated while faults prevent
// it, or the start or end of a process.
const patience = 4 * time.Minute

// site is the site under test.
type site struct {
	t     *frame
	lan   *lab.LAN
	db    *pgtest.Server
	disks []*lab.Disk // of the hosts of providers, with the state of their processes
	dir   string
	tool  string
	self  string
	seed  uint64
	book  book
	began time.Time

	mu      sync.Mutex
	up      map[string]*process // by place and version
	version map[string]int      // of each service, by the last commit
	frozen  map[fault]*process
	retired map[string]bool // places with processes that leave by a release
}

// process is a program of the site.
type process struct {
	part
	*lab.Process
	host     int
	pid      int
	expected bool          // the run caused its end
	gone     chan struct{} // closed at its end
}

func newSite(t *frame, seed uint64, keep bool) *site {
	s := &site{t: t, lan: lab.New(t, providers+1+callHosts), seed: seed, up: map[string]*process{},
		frozen:  map[fault]*process{},
		retired: map[string]bool{},
		version: map[string]int{"portal": 1, "auth": 1, "proc": 1}}
	var err error
	s.dir, err = os.MkdirTemp("/dev/shm", "skerry-soak-")
	t.must(err)
	t.Cleanup(func() {
		if keep {
			fmt.Println("logs are in", s.dir)
			return
		}
		_ = os.RemoveAll(s.dir)
	})
	for host := range providers {
		s.disks = append(s.disks, lab.NewDisk(t, filepath.Join(s.dir, fmt.Sprint("disk", host))))
	}
	s.self, err = os.Executable()
	t.must(err)
	s.tool = filepath.Join(s.dir, "skerry")
	built, err := exec.Command("go", "build", "-o", s.tool, "github.com/skerry/skerry/cmd/skerry").CombinedOutput()
	if err != nil {
		t.Fatalf("build skerry: %v: %s", err, built)
	}
	host := s.lan.Host(baseHost)
	s.db, err = pgtest.Start(pgtest.Options{Host: host.IP(0), Port: 5432, Netns: host.Namespace})
	t.must(err)
	t.Cleanup(func() { _ = s.db.Close() })
	return s
}

// begin starts all processes, and waits for the first answered requests.
func (s *site) begin() {
	s.began = time.Now()
	for host := range providers {
		for _, service := range services {
			s.start(host, part{Service: service, Version: "v1", Calls: calls[service]})
		}
	}
	for i, mode := range []string{"database", "broadcast", "auto"} {
		s.start(baseHost+1+i%callHosts, part{Name: "caller-" + mode, Calls: []string{"portal"}, Rate: 15})
	}
	for _, mode := range []string{"database", "broadcast", "auto"} {
		s.await("requests of caller-"+mode, func() bool { return s.book.answered("caller-"+mode) > 20 })
	}
	s.began = time.Now()
}

// suffer runs the schedule, with releases beside it.
func (s *site) suffer(plan []fault, length time.Duration) {
	stop := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() { s.book.watch(stop) })
	var failed any
	beside.Go(func() {
		defer func() { failed = recover() }()
		s.releases(stop)
	})
	var faults sync.WaitGroup
	for _, f := range plan {
		time.Sleep(time.Until(s.began.Add(f.At)))
		fmt.Println(f)
		s.book.fault(f, s.began)
		f.mends().begin(s, f)
		faults.Go(func() {
			time.Sleep(f.For)
			f.mends().end(s, f)
		})
		if f.Host >= 0 { // the database's run beside them
			faults.Wait()
		}
	}
	time.Sleep(time.Until(s.began.Add(length)))
	faults.Wait()
	close(stop)
	beside.Wait()
	if failed != nil {
		panic(failed)
	}
	time.Sleep(5 * time.Second) // requests under way
}

// close asks every process to end.
func (s *site) close() {
	s.mu.Lock()
	all := s.up
	s.up = map[string]*process{}
	s.mu.Unlock()
	for _, p := range all {
		p.expected = true
		p.signal(syscall.SIGTERM)
	}
	for _, p := range all {
		select {
		case <-p.gone:
		case <-time.After(time.Minute):
			s.book.find("%s did not end within a minute of SIGTERM", p.Name)
			p.signal(syscall.SIGKILL)
		}
	}
}

func place(host int, service, version string) string {
	return fmt.Sprintf("%s-%s-%d", service, version, host)
}

// start starts a process and waits until it is ready.
func (s *site) start(host int, p part) {
	if p.Name == "" {
		p.Name = place(host, p.Service, p.Version)
	}
	p.Config = s.configure(p, host)
	text, err := json.Marshal(p)
	s.t.must(err)
	c := s.on(host, s.self)
	c.Env = append(os.Environ(), envPart+"="+string(text))
	r, w, err := os.Pipe()
	s.t.must(err)
	log, err := os.OpenFile(filepath.Join(s.dir, p.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	s.t.must(err)
	c.Stdout, c.Stderr = w, log
	started := &process{part: p, host: host, gone: make(chan struct{})}
	started.Process = s.lan.Host(host).StartCommand(c)
	w.Close()
	log.Close()
	ready := make(chan int, 1)
	go s.listen(started, r, ready)
	select {
	case started.pid = <-ready:
	case <-started.gone:
		s.t.Fatalf("%s ended at its start: %s", p.Name, s.tail(p.Name))
	case <-time.After(patience):
		s.t.Fatalf("%s is not ready after %v: %s", p.Name, patience, s.tail(p.Name))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired[p.Name] { // while it was started again
		started.expected = true
		return
	}
	s.up[p.Name] = started
}

// listen reads a process's lines until it ends.
func (s *site) listen(p *process, r io.ReadCloser, ready chan<- int) {
	defer r.Close()
	for in := bufio.NewScanner(r); in.Scan(); {
		kind, rest, _ := strings.Cut(in.Text(), " ")
		if kind == "ready" {
			var pid int
			_, _ = fmt.Sscan(rest, &pid)
			ready <- pid
			continue
		}
		s.book.hear(p.Name, kind, rest)
	}
	s.mu.Lock()
	expected := p.expected
	if s.up[p.Name] == p && !expected {
		delete(s.up, p.Name)
	}
	s.mu.Unlock()
	if !expected && p.pid != 0 && !s.t.over() {
		s.book.find("%s ended by itself: %s", p.Name, s.tail(p.Name))
	}
	close(p.gone)
}

func (s *site) tail(name string) string {
	text, _ := os.ReadFile(filepath.Join(s.dir, name+".log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// configure writes a process's configuration.
func (s *site) configure(p part, host int) string {
	mode, state := "auto", s.dir
	if host < providers {
		state = s.disks[host].Dir()
	}
	if m, ok := strings.CutPrefix(p.Name, "caller-"); ok {
		mode = m
	}
	text := fmt.Sprintf("cluster: soak\nstate_dir: %q\nmode: %s\nlan: {key: %s}\n",
		filepath.Join(state, p.Name+"-state"), mode, lab.SiteKey)
	if mode != "broadcast" {
		text += fmt.Sprintf("database: {url: %q, heartbeat: 2s, expiry: 8s, poll: 2s}\n", s.db.URL("postgres"))
	}
	text += "consumers: {\"*\": {timeout: 8s, retries: 3, idempotent: [visit]}}\nstop: {grace: 1s, drain: 10s}\n"
	if p.Service != "" {
		text += fmt.Sprintf("service: {name: %s, version: %s}\n", p.Service, p.Version)
	}
	path := filepath.Join(s.dir, p.Name+".yaml")
	s.t.must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

// on returns a command on a host, under the host's name.
func (s *site) on(host int, command ...string) *exec.Cmd {
	naming := `echo "$0" >/proc/sys/kernel/hostname && exec "$@"`
	return s.lan.Host(host).Command("unshare", append([]string{"--uts", "sh", "-c", naming, fmt.Sprint("host", host)},
		command...)...)
}

// await waits for a condition of the run.
func (s *site) await(what string, ok func() bool) {
	for begun := time.Now(); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > patience {
			s.t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// at returns the process of a fault, in the version that is in use.
func (s *site) at(f fault) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.up[place(f.Host, f.Service, fmt.Sprint("v", s.version[f.Service]))]
	if p == nil {
		return &process{} // its version is leaving, so the fault has no effect
	}
	return p
}

func (p *process) signal(sig syscall.Signal) {
	if p.pid != 0 {
		_ = syscall.Kill(p.pid, sig) // it may have ended
	}
}

func (p *process) kill()  { p.end(syscall.SIGKILL) }
func (p *process) leave() { p.end(syscall.SIGTERM) }

func (p *process) end(sig syscall.Signal) {
	if p.pid == 0 {
		return
	}
	p.expected = true
	p.signal(sig)
}

// again restarts the process that a fault has ended, unless a release has removed its version
// meanwhile.
func (s *site) again(f fault) {
	s.mu.Lock()
	var ended *process
	for _, p := range s.up {
		if p.host == f.Host && p.Service == f.Service && p.expected {
			ended = p
		}
	}
	s.mu.Unlock()
	if ended == nil {
		return
	}
	select {
	case <-ended.gone:
	case <-time.After(time.Minute):
		s.book.find("%s did not end within a minute", ended.Name)
		return
	}
	s.mu.Lock()
	retired := s.up[ended.Name] != ended
	s.mu.Unlock()
	if !retired {
		s.start(ended.host, ended.part)
	}
}
