package testsite

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Test is what Start needs of a test.
type Test interface {
	T
	Cleanup(func())
	Error(args ...any)
	Failed() bool
	Logf(format string, args ...any)
}

// Process is a program of a site. Its lines on stdout go to a function, its stderr into a file.
type Process struct {
	Name  string
	Cmd   *exec.Cmd
	Stdin io.WriteCloser

	t    Test
	done chan struct{} // closed when it has ended and its lines are read
	log  string        // path of its stderr
}

// Start starts a command. line is called with each line of its stdout, from one goroutine. Its stderr is added to
// NAME.log in dir. The end of the test kills the process, and shows the end of its log when the test has failed.
func Start(t Test, dir, name string, cmd *exec.Cmd, line func(string)) *Process {
	t.Helper()
	p := &Process{Name: name, Cmd: cmd, t: t, done: make(chan struct{}), log: filepath.Join(dir, name+".log")}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.Stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(out, line)
	t.Cleanup(p.end)
	return p
}

// longestLine bounds the lines of a process in bytes.
const longestLine = 1 << 20

func (p *Process) follow(out io.Reader, line func(string)) {
	defer close(p.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		line(lines.Text())
	}
	_ = p.Cmd.Wait()
}

// Over reports whether the process has ended and its lines are read.
func (p *Process) Over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Signal sends a signal, such as syscall.SIGTERM, and returns the instant before.
func (p *Process) Signal(sig os.Signal) time.Time {
	p.t.Helper()
	at := time.Now()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%v %s: %v", sig, p.Name, err)
	}
	return at
}

// Wait waits for the end of the process.
func (p *Process) Wait(limit time.Duration) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%s did not end within %v", p.Name, limit)
	}
}

// Logged returns the process's stderr so far.
func (p *Process) Logged() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Error(err)
	}
	return string(b)
}

func (p *Process) end() {
	if !p.Over() {
		_ = p.Cmd.Process.Kill()
		<-p.done
	}
	if p.t.Failed() {
		all := strings.Split(strings.TrimSpace(p.Logged()), "\n")
		p.t.Logf("log of %s:\n%s", p.Name, strings.Join(all[max(0, len(all)-25):], "\n"))
	}
}
