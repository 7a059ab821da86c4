//go:build linux

package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/testsite"
)

// onTheLAN are the lines of a site without a database.
const onTheLAN = "mode: broadcast\nlan: {key: " + testsite.SiteKey + "}\n"

// inTheDatabase are the lines of a site that lists itself in a database only.
func inTheDatabase(url string) string {
	return fmt.Sprintf("mode: database\ndatabase: {url: %q}\nlan: {key: %s}\n", url, testsite.SiteKey)
}

// inBoth are the lines of a site with both.
func inBoth(url string) string {
	return strings.Replace(inTheDatabase(url), "mode: database", "mode: auto", 1)
}

// inBothModes plays a scene on the LAN and with a database. Hosts reach the database by its Unix socket.
func inBothModes(t *testing.T, scene func(t *testing.T, lines string)) {
	t.Run("lan", func(t *testing.T) {
		t.Parallel()
		scene(t, onTheLAN)
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		pg := pgtest.Shared(t)
		scene(t, inTheDatabase(pg.SocketURL(pg.CreateDB(t))))
	})
}

// The hosts of a site.
const (
	hostA    = iota // provider a, in hall-1
	hostB           // provider b, in hall-2
	hostNear        // caller near, in hall-1; operators
	hostFar         // caller far, in hall-2; the gateway, and the operator of the other side
	hosts
)

// services are those that every provider offers, one for each scene.
var services = []string{"timeout", "retries", "balancer", "breaker", "outlier", "weights", "route", "limits", "shared",
	"audit", "access", "fallback", "faults", "delay", "mirror", "lanes", "plans", "expires", "plain"}

// consumers are the settings of every process's file.
const consumers = `consumers:
  "*": {timeout: 5s, wait: 3s, retries: 0, balancer: round-robin, breaker: {off: true}}
  retries: {timeout: 250ms}
  breaker: {timeout: 250ms}
calls: {connect_timeout: 200ms}
stop: {grace: 100ms, drain: 2s}
stats: {interval: none}
`

// site is a LAN with processes on its hosts, and what they wrote.
type site struct {
	t       *testing.T
	lan     *lab.LAN
	local   bool // providers and callers run on this machine, outside of the LAN
	dir     string
	cluster string
	lines   string // of every configuration: mode, database, keys
	roles   string // program of processes that start next
	tool    string // of operators
	journal journal
}

var sites atomic.Int64

// prepare returns a site without processes.
func prepare(t *testing.T, lines string) *site {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	tool, err := command()
	must(t, err)
	s := &site{t: t, lan: lab.New(t, hosts), dir: t.TempDir(), lines: lines, roles: self, tool: tool,
		cluster: fmt.Sprintf("policy-%d-%d", os.Getpid(), sites.Add(1))}
	t.Cleanup(func() {
		if f := s.journal.fatals(); len(f) > 0 {
			t.Errorf("processes said: %q", f)
		}
	})
	return s
}

// newSite starts the providers and the callers, and waits until all of them list both providers.
func newSite(t *testing.T, lines string) *site {
	t.Helper()
	s := prepare(t, lines)
	s.begin()
	return s
}

// begin starts the processes.
func (s *site) begin() {
	s.t.Helper()
	for _, name := range []string{"a", "b", "near", "far"} {
		s.start(name)
	}
	s.warm()
}

// warm lets the callers call plain until both providers have answered each.
func (s *site) warm() {
	s.t.Helper()
	s.call(wish{Service: "plain"})
	s.await("both providers answer both callers", func() bool {
		for _, caller := range callers {
			for _, who := range []string{"a", "b"} {
				if !slices.ContainsFunc(s.journal.of(caller, "plain", time.Time{}), answered(who)) {
					return false
				}
			}
		}
		return true
	})
}

// command builds the operator's command once.
var command = sync.OnceValues(testsite.Command)

// place is where the process of a name runs.
func place(name string) (host int, zone string) {
	switch name {
	case "a":
		return hostA, "hall-1"
	case "b":
		return hostB, "hall-2"
	case "near":
		return hostNear, "hall-1"
	}
	return hostFar, "hall-2"
}

var callers = []string{"near", "far"}

// process is a running provider or caller.
type process struct {
	*testsite.Process
	pid int
}

// start starts a provider or a caller, and waits until it is ready. A process of a name keeps its state directory. What
// first says a caller calls as soon as it is open.
func (s *site) start(name string, first ...wish) *process {
	s.t.Helper()
	host, zone := place(name)
	role, more, port := "caller", "", 7000
	if s.local {
		port = 0
	}
	if !slices.Contains(callers, name) {
		role = "provider"
		var list []string
		for _, service := range services {
			list = append(list, fmt.Sprintf("  - {name: %s, version: v1, listen: \":%d\"}\n", service, port))
		}
		more = "services:\n" + strings.Join(list, "")
	}
	cmd := s.on(host, s.roles)
	if s.local {
		cmd = exec.Command(s.roles)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	cmd.Env = append(os.Environ(), envRole+"="+role, envName+"="+name, envConfig+"="+
		s.configure(name, s.lines, "zone: "+zone+"\n"+more))
	ready := make(chan int, 1)
	p := &process{}
	p.Process = testsite.Start(s.t, s.dir, name, cmd, func(line string) {
		if kind, rest, _ := strings.Cut(line, " "); kind == "ready" {
			pid := 0
			_, _ = fmt.Sscan(rest, &pid)
			ready <- pid
			return
		}
		s.journal.line(name, line)
	})
	s.journal.put(name, p)
	for _, w := range first {
		s.tell(name, w)
	}
	s.await(name+" is ready", func() bool { return len(ready) > 0 || p.Over() })
	if p.Over() {
		s.t.Fatalf("%s ended at its start", name)
	}
	p.pid = <-ready
	return p
}

// configure writes the configuration of a process.
func (s *site) configure(name, lines, more string) string {
	path := filepath.Join(s.dir, name+".yaml")
	text := fmt.Sprintf("cluster: %s\nstate_dir: %q\n%s%s%s", s.cluster, filepath.Join(s.dir, name+"-state"), lines,
		consumers, more)
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// on returns a command on a host.
func (s *site) on(host int, name string, args ...string) *exec.Cmd {
	return s.lan.Host(host).Command(name, args...)
}

// tell gives a process a line.
func (s *site) tell(name string, w wish) {
	s.t.Helper()
	b, err := json.Marshal(w)
	must(s.t, err)
	_, err = s.journal.process(name).Stdin.Write(append(b, '\n'))
	must(s.t, err)
}

// call lets both callers call.
func (s *site) call(w wish) {
	s.t.Helper()
	w.Workers, w.Pause = cmp.Or(w.Workers, 1), cmp.Or(w.Pause, 4*time.Millisecond)
	for _, name := range callers {
		s.tell(name, w)
	}
}

// kill is kill -9; it returns when the process has gone.
func (p *process) kill() { _ = syscall.Kill(p.pid, syscall.SIGKILL); p.Wait(20 * time.Second) }

// stop asks the process to leave, and waits until it has.
func (p *process) stop() {
	_ = syscall.Kill(p.pid, syscall.SIGTERM) // it may have ended
	p.Wait(patience)
}

// patience bounds what is no promise, such as the start of a process on a busy machine.
const patience = 30 * time.Second

func (s *site) await(what string, ok func() bool) {
	s.t.Helper()
	lab.Eventually(s.t, patience, ok, func() string { return what })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
