package stage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/portal/gen/portalapi"
	"github.com/skerry/skerry/internal/testsite"
)

const (
	hosts        = 4
	Cluster      = "launch-site-1"
	Title        = "一号发射场"
	users        = 4                      // that send requests one after another
	pause        = 100 * time.Millisecond // of each, between two requests
	startLimit   = 20 * time.Second
	commandLimit = 30 * time.Second
)

// Site is the portal of the examples on several hosts, with a console and users' calls.
type Site struct {
	Origin string // of the console, such as http://127.0.0.1:7700

	t       T
	bin     string
	dir     string
	links   chan string // to sign in by
	mu      sync.Mutex
	running map[string]*testsite.Process
}

// instances are those that a site begins with: service, version, host.
var instances = [][3]string{
	{"portal", "v1", "ops-1"}, {"portal", "v1", "ops-2"},
	{"auth", "v1", "ops-1"}, {"auth", "v1", "ops-3"},
	{"proc", "v1", "ops-2"}, {"proc", "v1", "ops-3"},
	{"db", "v1", "ops-3"}, {"db", "v1", "ops-4"},
}

// NewSite starts a site within [Alone], and its console. It returns when the calls of users arrive.
func NewSite(t T) *Site {
	t.Helper()
	s := &Site{Origin: "http://127.0.0.1:7700", t: t, bin: os.Getenv(inside), dir: t.TempDir(),
		links: make(chan string, 64), running: map[string]*testsite.Process{}}
	if err := os.WriteFile(s.path("site.key"), []byte(testsite.SiteKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, i := range instances {
		s.Serve(i[0], i[1], i[2])
	}
	s.start("console", "ops-1", func(line string) {
		if _, token, ok := strings.Cut(line, "/in#"); ok {
			s.links <- s.Origin + "/in#" + token
		}
	}, "skerry", "console", "-c", s.config("console", ""), "--title", Title)
	s.use()
	return s
}

func (s *Site) path(name string) string { return filepath.Join(s.dir, name) }

// config writes a configuration file and returns its path.
func (s *Site) config(name, lines string) string {
	s.t.Helper()
	text := fmt.Sprintf("cluster: %s\nmode: broadcast\nsite: {keys: [%s]}\nlan: {interfaces: [127.0.0.0/8]}\n"+
		"state_dir: %q\nconsumers:\n  \"*\": {timeout: 2s}\n%s",
		Cluster, s.path("site.key"), s.path(name+".state"), lines)
	path := s.path(name + ".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// Serve starts an instance of a service of the portal, under the name service-version-host.
func (s *Site) Serve(service, version, host string) {
	s.t.Helper()
	name := service + "-" + version + "-" + host
	port := map[string]int{"portal": 7010, "auth": 7020, "proc": 7030, "db": 7040}[service] + int(version[1]-'0')
	lines := ""
	if service == "proc" {
		lines = "  auth: {idempotent: [verify]}\n  db: {idempotent: [read]}\n"
	}
	entry := ""
	if service == "portal" {
		entry = ", entry: [\"*\"]"
	}
	idl := filepath.Join(Root(s.t), "examples", "portal", "idl", service+".thrift")
	lines += fmt.Sprintf("service: {name: %s, version: %s, listen: \"%s%s:%d\", thrift: %q%s}\n", service, version,
		addresses, host[len("ops-"):], port, idl, entry)
	s.start(name, host, func(string) {}, service, "-config", s.config(name, lines))
}

// start starts a program on a host.
func (s *Site) start(name, host string, line func(string), program string, args ...string) {
	s.t.Helper()
	p := testsite.Start(s.t, s.dir, name, s.command(host, program, args...), line)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[name] = p
}

// command is a program on a host.
func (s *Site) command(host, program string, args ...string) *exec.Cmd {
	cmd := exec.Command("unshare", append([]string{"--uts", "sh", "-c", `hostname "$0" && exec "$@"`, host,
		filepath.Join(s.bin, program)}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Process is a process by its name: console, or service-version-host.
func (s *Site) Process(name string) *testsite.Process {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.running[name]
	if p == nil {
		s.t.Fatalf("no process %s was started", name)
	}
	return p
}

// Stutter lets a process stand still for most of each two seconds, until the end of the test.
func (s *Site) Stutter(name string) {
	s.t.Helper()
	p, over := s.Process(name), make(chan struct{})
	var done sync.WaitGroup
	s.t.Cleanup(func() { close(over); done.Wait() })
	done.Go(func() {
		for {
			for _, step := range []struct {
				signal syscall.Signal
				time   time.Duration
			}{{syscall.SIGSTOP, stoppedTime}, {syscall.SIGCONT, goingTime}} {
				_ = p.Cmd.Process.Signal(step.signal) // an error means that it has ended
				select {
				case <-over:
					return
				case <-time.After(step.time):
				}
			}
		}
	})
}

const (
	stoppedTime = 1300 * time.Millisecond
	goingTime   = 700 * time.Millisecond
)

// Link is a link to sign in by. The console prints the next one when it is used.
func (s *Site) Link(t T) string {
	t.Helper()
	select {
	case l := <-s.links:
		return l
	case <-time.After(startLimit):
		t.Fatalf("the console printed no link within %v:\n%s", startLimit, s.Process("console").Logged())
		return ""
	}
}

// Command runs the skerry command at the site and returns what it prints.
func (s *Site) Command(t T, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "skerry"), append(args, "-c", s.config("operator", ""))...)
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("skerry %v: %v\n%s%s", args, err, &out, &log)
	}
	return out.String()
}

// File writes a file of the site and returns its path.
func (s *Site) File(t T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.path(name)
}

// use lets users send requests until the end of the test. It returns when the first is answered.
func (s *Site) use() {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	log, err := os.Create(s.path("users.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	node, err := skerry.OpenFile(ctx, s.config("users", ""), skerry.WithCaller("users"),
		skerry.WithLogger(slog.New(slog.NewTextHandler(io.Writer(log), nil))))
	if err != nil {
		s.t.Fatal(err)
	}
	client := skerry.Stub(node, "portal", portalapi.NewPortalClient)
	ask := func() error {
		within, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := client().Handle(within, &portalapi.Request{User: "alice", Secret: "open sesame", Key: "pump-1"})
		return err
	}
	var all sync.WaitGroup
	s.t.Cleanup(func() {
		stop()
		all.Wait()
		node.Close()
		log.Close()
	})
	for end := time.Now().Add(startLimit); ; {
		if err = ask(); err == nil {
			break
		}
		if time.Now().After(end) {
			s.t.Fatalf("no request was answered within %v: %v", startLimit, err)
		}
	}
	for range users {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = ask() // what fails is on the pages
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
}
