//go:build linux

package guarantees

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// site holds the processes of a test, and their journal.
type site struct {
	t       *testing.T
	dir     string
	cluster string
	journal *journal
	extra   string // lines of every process's configuration: mode, database, lan
	// command makes a command that runs on a host; the default runs it here.
	command func(host int, name string, args ...string) *exec.Cmd
	// list reads the addresses of echo with a lease that is alive by the database.
	list func() ([]string, error)
}

var sites atomic.Int64

func newSite(t *testing.T, extra string) *site {
	cluster := fmt.Sprintf("guarantee-%d-%d", os.Getpid(), sites.Add(1))
	s := &site{t: t, dir: t.TempDir(), cluster: cluster, journal: newJournal(), extra: extra}
	s.command = func(_ int, name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // no process outlives the tests
		return cmd
	}
	t.Cleanup(func() {
		fatals := s.journal.fatals()
		for _, f := range fatals[:min(5, len(fatals))] {
			t.Errorf("a process said: %s", f)
		}
	})
	return s
}

// process is one running program of a site.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its lines are read
	log  string        // path of its stderr
}

// how is the special setting of a process.
type how struct {
	host    int
	site    string        // lines in place of the site's
	state   string        // process that it inherits the state directory of; "" = an own one
	pause   time.Duration // consumer: between the calls of one caller; 0 = 5 ms
	callers int           // consumer: 0 = 4; watcher = none, it only looks at its list
	hold    int           // consumer: milliseconds for which each call is held
	fill    int           // consumer: bytes that make each call larger
	more    int           // provider on a host of a lab: instances that it lists besides its own
}

const watcher = -1

// provider starts a process that serves echo and answers with its name.
func (s *site) provider(name string, h how) *process {
	return s.start(name, "provider", fmt.Sprintf("service: {name: echo, version: v1, tags: {who: %q}}", name), h,
		"serve")
}

// consumer starts a process that calls echo all the time.
func (s *site) consumer(name string, h how) *process {
	return s.start(name, "consumer", "", h, "ready")
}

func (s *site) start(name, role, yaml string, h how, event string) *process {
	s.t.Helper()
	config := filepath.Join(s.dir, name+".yaml")
	state := filepath.Join(s.dir, cmp.Or(h.state, name)+"-state")
	text := fmt.Sprintf("cluster: %s\nstate_dir: %q\n%s\n%s\n", s.cluster, state, cmp.Or(h.site, s.extra), yaml)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	h.pause = cmp.Or(h.pause, 5*time.Millisecond)
	callers := max(cmp.Or(h.callers, 4), 0)
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{t: s.t, name: name, cmd: s.command(h.host, self), done: make(chan struct{}),
		log: filepath.Join(s.dir, name+".log")}
	p.cmd.Env = append(os.Environ(), envRole+"="+role, envConfig+"="+config, envName+"="+name,
		envPause+"="+h.pause.String(), fmt.Sprintf("%s=%d", envWorkers, callers), fmt.Sprintf("%s=%d", envHold, h.hold),
		fmt.Sprintf("%s=%d", envFill, h.fill), fmt.Sprintf("%s=%d", envMore, h.more),
		fmt.Sprintf("%s=10.77.0.%d", envHost, h.host+1))
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := os.Create(p.log)
	if err != nil {
		s.t.Fatal(err)
	}
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	log.Close()
	go p.follow(s.journal, out)
	s.t.Cleanup(p.end)
	eventually(s.t, 20*time.Second, name+" says "+event, func() bool {
		return !s.journal.at(name, event).IsZero() || p.over()
	})
	if p.over() {
		s.t.Fatalf("%s ended at its start", name)
	}
	return p
}

func (p *process) follow(j *journal, out io.Reader) {
	defer close(p.done)
	j.follow(p.name, out)
	_ = p.cmd.Wait()
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill is kill -9; it returns the instant before.
func (p *process) kill() time.Time { return p.signal(syscall.SIGKILL) }

// stop stops politely; wait waits for the end.
func (p *process) stop() time.Time { return p.signal(syscall.SIGTERM) }

func (p *process) signal(sig syscall.Signal) time.Time {
	p.t.Helper()
	at := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%v %s: %v", sig, p.name, err)
	}
	return at
}

func (p *process) wait(limit time.Duration) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%s did not end within %v", p.name, limit)
	}
}

// end is the cleanup: no process outlives the test, and the log of a failed test is shown.
func (p *process) end() {
	if !p.over() {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	if !p.t.Failed() {
		return
	}
	p.t.Logf("log of %s:\n%s", p.name, tail(p.logged(), 40))
}

// logged returns the process's stderr so far.
func (p *process) logged() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Error(err)
	}
	return string(b)
}

// said reports whether a process has logged a phrase.
func (p *process) said(phrase string) bool { return strings.Contains(p.logged(), phrase) }

// held is the memory that the process needs, in KiB, without memory that it could give back. The
// memory beyond that depends on the collector's schedule and on the race detector.
func (p *process) held() int {
	p.t.Helper()
	said := func() []string { return heldLine.FindAllString(p.logged(), -1) }
	before := len(said())
	p.signal(syscall.SIGUSR1)
	eventually(p.t, 20*time.Second, p.name+" says what it holds", func() bool { return len(said()) > before })
	var kib int
	if _, err := fmt.Sscanf(said()[before], "held %d KiB", &kib); err != nil {
		p.t.Fatal(err)
	}
	return kib
}

var heldLine = regexp.MustCompile(`(?m)^held \d+ KiB$`)

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
