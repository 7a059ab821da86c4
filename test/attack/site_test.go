//go:build linux

package attack

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
)

// setUp is the kind of proof at a site.
type setUp struct {
	name string
	keys bool // files of the site's key
	tls  bool // mutual TLS; without keys certificates prove membership
}

// setUps are the four in which every applicable attack is made.
var setUps = []setUp{{"no key", false, false}, {"key", true, false}, {"mutual TLS", false, true}, {"both", true, true}}

// operators reports whether operators' keys are named. Without any key, operators could not be
// distinguished.
func (u setUp) operators() bool { return u.keys || u.tls }

const (
	providerPort = 7000
	consumerPort = 7001
	webPort      = 7002
	gatewayPort  = 7003
	laptopHost   = 2
	connections  = 160 // limits.connections of every process
)

// site is a provider, a consumer that calls it all the time, and a laptop on their switch. With a
// key the two processes run on two hosts, else on one.
type site struct {
	setUp
	t       *testing.T
	lan     *lab.LAN
	dir     string
	cluster string
	extra   string // lines of every process's configuration
	ca      *authority
	key     sitekey.Key
	li, mo  operator // both are trusted at the start

	provider, consumer *process
}

var sites atomic.Int64

// newSite starts a site with two processes, and waits until calls go on.
func newSite(t *testing.T, u setUp, extra string) *site {
	t.Helper()
	s := prepare(t, u, extra)
	s.provider = s.start("provider", "provider", s.hostOf("provider"))
	s.consumer = s.start("consumer", "consumer", s.hostOf("consumer"))
	s.warm()
	return s
}

func prepare(t *testing.T, u setUp, extra string) *site {
	t.Helper()
	s := &site{setUp: u, t: t, lan: lab.New(t, 4), dir: t.TempDir(), extra: extra,
		cluster: fmt.Sprintf("attack-%d-%d", os.Getpid(), sites.Add(1)), ca: newAuthority(t), key: sitekey.New(),
		li: newOperator(t, "li"), mo: newOperator(t, "mo")}
	must(t, os.Chmod(s.dir, 0o755))
	s.write("site.key", s.key.Text()+"\n")
	s.trustOperators(s.li, s.mo)
	cert, key := s.ca.issue(t, "process")
	s.write("ca.pem", string(s.ca.pem()))
	s.write("cert.pem", string(cert))
	s.write("cert.key", string(key))
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
}

// trustOperators replaces the file of operators.
func (s *site) trustOperators(list ...operator) {
	s.t.Helper()
	var text strings.Builder
	for _, o := range list {
		line, err := sshsig.Operator{Name: o.name, Key: o.public, Namespaces: sshsig.Namespaces}.Format()
		must(s.t, err)
		text.WriteString(line + "\n")
	}
	s.write("operators.new", text.String())
	must(s.t, os.Rename(filepath.Join(s.dir, "operators.new"), filepath.Join(s.dir, "operators")))
}

// lines are what the set-up adds to a configuration.
func (s *site) lines() string {
	text := ""
	switch {
	case s.keys:
		text = fmt.Sprintf("site: {keys: [%q], operators: %q}\n", s.path("site.key"), s.path("operators"))
	case s.tls:
		text = fmt.Sprintf("site: {keys: certificates, operators: %q}\n", s.path("operators"))
	}
	if s.tls {
		text += fmt.Sprintf("tls: {cert: %q, key: %q, ca: %q}\n", s.path("cert.pem"), s.path("cert.key"),
			s.path("ca.pem"))
	}
	return text
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) hostOf(process string) int {
	if process == "consumer" && s.keys {
		return 1
	}
	return 0
}

// addr is where a process of the site serves.
func (s *site) addr(process string) string {
	port := map[string]int{"provider": providerPort, "consumer": consumerPort}[process]
	return fmt.Sprintf("%s:%d", s.lan.Host(s.hostOf(process)).IP(0), port)
}

func (s *site) laptop() laptop { return s.on(laptopHost) }

func (s *site) on(host int) laptop { return laptop{s.t, s.lan.Host(host).Namespace} }

// process is one running program of a site.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{}
	log  string

	mu     sync.Mutex
	ready  bool
	answer map[string]int // calls that went well, by the process that answered
	failed []string
	list   string // of auth, as the consumer sees it
	lists  []string
}

// start starts this binary in a role on a host. how are further lines of its configuration.
func (s *site) start(name, role string, host int, how ...string) *process {
	s.t.Helper()
	service := map[string]string{
		"provider": fmt.Sprintf("service: {name: auth, version: v1, listen: \":%d\", tags: {who: %s}}",
			providerPort, name),
		"consumer": fmt.Sprintf("service: {name: desk, version: v1, listen: \":%d\"}", consumerPort),
	}[role]
	text := fmt.Sprintf("cluster: %s\nstate_dir: %q\n%s%s%s\n%s\nconsumers: {auth: {timeout: 5s, breaker: {off: "+
		"true}}}\n"+
		"limits: {connections: %d}\nstop: {grace: 100ms, drain: 2s}\nstats: {interval: none}\n",
		s.cluster, s.path(name+"-state"), s.lines(), s.extra, strings.Join(how, "\n"), service, connections)
	if !strings.Contains(text, "mode:") {
		text += "mode: broadcast\n"
	}
	s.write(name+".yaml", text)
	self, err := os.Executable()
	must(s.t, err)
	p := &process{t: s.t, name: name, cmd: s.lan.Host(host).Command(self), done: make(chan struct{}),
		answer: map[string]int{},
		log:    s.path(fmt.Sprintf("%s-%d.log", name, time.Now().UnixNano()))}
	p.cmd.Env = append(os.Environ(), envRole+"="+role, envConfig+"="+s.path(name+".yaml"), envName+"="+name,
		"SKERRY_SITE_KEYS=")
	out, err := p.cmd.StdoutPipe()
	must(s.t, err)
	log, err := os.Create(p.log)
	must(s.t, err)
	defer log.Close()
	p.cmd.Stderr = log
	must(s.t, p.cmd.Start())
	go p.follow(out)
	s.t.Cleanup(p.end)
	s.await(name+" is ready", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.ready || p.over()
	})
	if p.over() {
		s.t.Fatalf("%s ended at its start: %s", name, p.logged())
	}
	return p
}

func (p *process) follow(out io.Reader) {
	defer close(p.done)
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		p.line(sc.Text())
	}
	_ = p.cmd.Wait()
}

func (p *process) line(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind, rest, _ := strings.Cut(line, " ")
	switch who, code, _ := strings.Cut(rest, " "); {
	case kind == "ready":
		p.ready = true
	case kind == "list":
		p.list = rest
		p.lists = append(p.lists, rest)
	case kind == "call" && code == "ok":
		p.answer[who]++
	default:
		p.failed = append(p.failed, line)
	}
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end is the cleanup: it shows the log of a failed test.
func (p *process) end() {
	if !p.over() {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	if p.t.Failed() {
		all := strings.Split(strings.TrimSpace(p.logged()), "\n")
		p.t.Logf("log of %s:\n%s", p.name, strings.Join(all[max(0, len(all)-30):], "\n"))
	}
}

// stop ends the process politely, or by kill -9.
func (p *process) stop(sig syscall.Signal) {
	p.t.Helper()
	must(p.t, p.cmd.Process.Signal(sig))
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Fatalf("%s does not end on %v", p.name, sig)
	}
}

func (p *process) logged() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Error(err)
	}
	return string(b)
}

// memory is a line of the process's status in KiB.
func (p *process) memory(line string) (kib int) {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(p.t, err)
	_, rest, _ := strings.Cut(string(status), line+":")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		p.t.Fatalf("%s of %s: %v", line, p.name, err)
	}
	return kib
}

// saying returns how many lines of the log hold all the phrases.
func (p *process) saying(phrases ...string) (n int) {
	for line := range strings.Lines(p.logged()) {
		all := true
		for _, phrase := range phrases {
			all = all && strings.Contains(line, phrase)
		}
		if all {
			n++
		}
	}
	return n
}

// says fails the test unless the log has from one to most lines with all the phrases.
func (p *process) says(t *testing.T, most int, phrases ...string) {
	t.Helper()
	n := 0
	for end := time.Now().Add(3 * time.Second); n == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		n = p.saying(phrases...)
	}
	if n < 1 || n > most {
		t.Errorf("%s has logged %d lines with %q, want 1 to %d", p.name, n, phrases, most)
	}
}

// saysWrongKey fails the test unless the log names the laptop's host, by the address that was heard
// first, as one with a wrong key. A host is named once, so the line may be of an earlier attack.
func (p *process) saysWrongKey(t *testing.T, host *lab.Host) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if p.saying("wrong key", host.IP(0))+p.saying("wrong key", host.LinkLocal(0)) > 0 {
			return
		}
	}
	t.Errorf("%s has not named %s or %s for a wrong key", p.name, host.IP(0), host.LinkLocal(0))
}

// seen returns the number of answered calls, the failed ones, and the present list.
func (p *process) seen() (answered int, failed []string, list string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.answer {
		answered += n
	}
	return answered, append([]string(nil), p.failed...), p.list
}

// warm waits until calls go on.
func (s *site) warm() {
	s.t.Helper()
	before, _, _ := s.consumer.seen()
	s.await("calls go on", func() bool { n, _, _ := s.consumer.seen(); return n >= before+5 })
}

// unharmed runs an attack. Meanwhile no honest call fails, the list holds only the provider, and
// calls continue after it.
func (s *site) unharmed(t *testing.T, attack func(t *testing.T)) {
	t.Helper()
	before, failedBefore, _ := s.consumer.seen()
	s.consumer.mu.Lock()
	lists := len(s.consumer.lists)
	s.consumer.mu.Unlock()
	attack(t)
	lab.Eventually(t, time.Minute, func() bool { n, _, _ := s.consumer.seen(); return n >= before+20 },
		func() string { return "calls go on" })
	_, failed, list := s.consumer.seen()
	if len(failed) > len(failedBefore) {
		t.Errorf("%d honest calls failed, the first one: %s", len(failed)-len(failedBefore), failed[len(failedBefore)])
	}
	if s.consumer.mu.Lock(); len(s.consumer.lists) > lists {
		t.Errorf("the consumer's list became %q", s.consumer.lists[lists:])
	}
	s.consumer.mu.Unlock()
	if list != "provider" {
		t.Errorf("the consumer lists %q", list)
	}
	for _, p := range []*process{s.provider, s.consumer} {
		if p.over() {
			t.Fatalf("%s has ended", p.name)
		}
	}
}

func (s *site) await(what string, ok func() bool) {
	s.t.Helper()
	lab.Eventually(s.t, time.Minute, ok, func() string { return what })
}
