//go:build linux

package consistency

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout"
)

// onTheLAN are the lines of a configuration without a database.
const onTheLAN = "mode: broadcast\nlan: {key: " + lab.SiteKey + "}\n" + everywhere

// everywhere are the lines of every site: no step fails on a slow machine, and every call must
// belong to a trace.
const (
	everywhere = "consumers: {\"*\": {timeout: 30s, wait: 3s, breaker: {off: true}}}\n" + alike
	repeating  = "consumers: {\"*\": {timeout: 30s, wait: 3s, breaker: {off: true}, retries: 3, idempotent: " +
		"[visit]}}\n" + alike
	alike = `calls: {connect_timeout: 3s}
rollout: {orphans: strict}
stop: {grace: 500ms, drain: 10s}
stats: {interval: none}
`
)

// migrating is a configuration in which calls outside any trace pass.
func migrating(lines string) string { return strings.Replace(lines, "strict", "migrate", 1) }

// doorPort is the port of the entries; every other process takes a free one.
const doorPort = 7000

// site is a LAN with processes on its hosts, and their notes.
type site struct {
	t        *testing.T
	lan      *lab.LAN
	dir      string
	cluster  string
	lines    string // of every configuration: mode, database, LAN
	book     *book
	binaries          // of the processes that start next
	env      []string // of operators' commands, beside this process's own
	faults   []*fault
	members  []*process
	others   [][]rollout.Entry // forked logs that ended
	policy   *ruling           // changes the site's policy beside each step of a release; nil: there is none
}

var sites atomic.Int64

func newSite(t *testing.T, hosts int, lines string) *site {
	t.Helper()
	dir := inMemory(t) // before the LAN, which ends the processes that write there
	s := &site{t: t, lan: lab.New(t, hosts), dir: dir, lines: lines, book: newBook(), binaries: ofThePresent(t),
		cluster: fmt.Sprintf("consistency-%d-%d", os.Getpid(), sites.Add(1))}
	t.Cleanup(func() {
		for _, n := range s.book.of(fatal, nil) {
			t.Errorf("%s said: %s", n.Process, n.Text)
		}
	})
	return s
}

// inMemory returns a directory without a disk, because a hundred processes that save promises would
// wait for this machine's disk.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "skerry-consistency-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// process is a program that runs at a site.
type process struct {
	*lab.Process
	part
	site *site
	host int
	how  how
	pid  int
	log  string // path of its stderr
}

// how is the special setting of a process.
type how struct {
	state string   // name of the process that it inherits the state directory of; "" = its own
	lines string   // in place of the site's
	extra string   // more lines
	entry bool     // requests come in by visit, at the port of entries
	port  int      // the service listens there, behind a relay at the port 100 above
	wrap  []string // command around the process

	failsCopies bool // see part
}

// serve starts a process that offers a version of a service.
func (s *site) serve(host int, name, service, version string, h ...how) *process {
	s.t.Helper()
	how := first(h)
	p := part{Role: "hop", Name: name, Service: service, Version: version, FailsCopies: how.failsCopies}
	listen, entry := ":0", ""
	if how.entry {
		p.Entry, listen, entry = []string{"visit"}, fmt.Sprint(":", doorPort), ", entry: [visit]"
	}
	if how.port > 0 {
		listen, entry = fmt.Sprint(":", how.port), fmt.Sprintf(", advertise: \"%s:%d\"", s.lan.Host(host).IP(0),
			how.port+100)
	}
	how.extra += fmt.Sprintf("service: {name: %s, version: %s, listen: %q%s}\n", service, version, listen, entry)
	return s.start(host, p, how)
}

// behind starts a relay, and a process behind it.
func (s *site) behind(port, host int, name, service, version string, h ...how) (*process, *process) {
	s.t.Helper()
	relay := s.start(host, part{Role: "relay", Name: name + "-relay", Listen: fmt.Sprint(":", port+100),
		Target: fmt.Sprint("127.0.0.1:", port)}, how{})
	how := first(h)
	how.port = port
	return s.serve(host, name, service, version, how), relay
}

// portals starts an entry on each of the hosts.
func (s *site) portals(hosts ...int) (all []*process) {
	s.t.Helper()
	for _, host := range hosts {
		all = append(all, s.serve(host, fmt.Sprint("portal-", host), "portal", "v1", how{entry: true}))
	}
	return all
}

// users start to send requests into the entries of some hosts.
func (s *site) users(host int, name string, load part, doors ...int) *process {
	s.t.Helper()
	load.Role, load.Name, load.Service = "users", name, "portal"
	if s.policy != nil {
		load.Tenants = tenants
	}
	for _, d := range doors {
		load.Doors = append(load.Doors, fmt.Sprintf("%s:%d", s.lan.Host(d).IP(0), doorPort))
	}
	return s.start(host, load, how{})
}

// job starts a process that begins traces itself.
func (s *site) job(host int, name string, load part, h ...how) *process {
	s.t.Helper()
	load.Role, load.Name, load.Service, load.Version = "job", name, name, "-"
	return s.start(host, load, first(h))
}

func first(h []how) how {
	if len(h) == 0 {
		return how{}
	}
	return h[0]
}

// configure writes the configuration of a process.
func (s *site) configure(name string, h how) (path string) {
	path = filepath.Join(s.dir, name+".yaml")
	state := filepath.Join(s.dir, cmp.Or(h.state, name)+"-state")
	text := fmt.Sprintf("cluster: %s\nstate_dir: %q\n%s%s", s.cluster, state, cmp.Or(h.lines, s.lines), h.extra)
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// start starts this binary in a role and waits until it is ready.
func (s *site) start(host int, p part, h how) *process {
	s.t.Helper()
	p.Workers, p.Pause = cmp.Or(p.Workers, 4), cmp.Or(p.Pause, 80*time.Millisecond)
	p.Config = s.configure(p.Name, h)
	text, err := json.Marshal(p)
	must(s.t, err)
	c := s.on(host, append(h.wrap, s.roles)...)
	c.Env = append(os.Environ(), envPart+"="+string(text))
	r, w, err := os.Pipe()
	must(s.t, err)
	started := &process{part: p, site: s, host: host, how: h, log: filepath.Join(s.dir, p.Name+".log")}
	log, err := os.Create(started.log)
	must(s.t, err)
	c.Stdout, c.Stderr = w, log
	started.Process = s.lan.Host(host).StartCommand(c)
	w.Close()
	log.Close()
	go func() { defer r.Close(); s.book.follow(p.Name, r) }()
	s.t.Cleanup(started.explain)
	s.members = append(s.members, started)
	s.await(p.Name+" is ready", func() bool {
		return s.book.count(ready, named(p.Name)) > 0 || !s.book.over(p.Name).IsZero()
	})
	if !s.book.over(p.Name).IsZero() {
		s.t.Fatalf("%s ended at its start", p.Name)
	}
	started.pid = s.book.of(ready, named(p.Name))[0].PID
	return started
}

// on returns a command on a host, under the host's name.
func (s *site) on(host int, command ...string) *exec.Cmd {
	naming := `echo "$0" >/proc/sys/kernel/hostname && exec "$@"`
	return s.lan.Host(host).Command("unshare", append([]string{"--uts", "sh", "-c", naming, hostName(host)},
		command...)...)
}

func hostName(host int) string { return fmt.Sprint("host", host) }

func named(name string) func(note) bool { return func(n note) bool { return n.Process == name } }

// id returns the process's name in an operator's commands.
func (p *process) id() string { return fmt.Sprintf("%s/%d", hostName(p.host), p.pid) }

// Signal and Kill act on the process itself, not on a command around it.
func (p *process) Signal(s syscall.Signal) error { return syscall.Kill(p.pid, s) }

func (p *process) Kill() {
	_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may have ended by itself
	p.Process.Kill()
}

// freeze stops the process as if its machine hung; thaw continues it.
func (p *process) freeze() { p.site.t.Helper(); must(p.site.t, p.Signal(syscall.SIGSTOP)) }
func (p *process) thaw()   { p.site.t.Helper(); must(p.site.t, p.Signal(syscall.SIGCONT)) }

// stop asks the process to leave and waits until it has.
func (p *process) stop() {
	p.site.t.Helper()
	must(p.site.t, p.Signal(syscall.SIGTERM))
	p.gone()
}

// gone waits until the process has ended by itself.
func (p *process) gone() {
	p.site.t.Helper()
	if err := p.Wait(40 * time.Second); err != nil {
		p.site.t.Fatalf("%s: %v", p.Name, err)
	}
	p.site.await("the last lines of "+p.Name, func() bool { return !p.site.book.over(p.Name).IsZero() })
}

// explain shows the process's log after a failed test.
func (p *process) explain() {
	if !p.site.t.Failed() {
		return
	}
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.site.t.Log(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	p.site.t.Logf("log of %s:\n%s", p.Name, strings.Join(all[max(0, len(all)-25):], "\n"))
}

// await waits until ok holds, at most a minute, for slow machines.
func (s *site) await(what string, ok func() bool) {
	s.t.Helper()
	lab.Eventually(s.t, time.Minute, ok, func() string { return what })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
