package registry

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// process is a rival's server with a directory of its own. It ends with us.
type process struct {
	cmd   *exec.Cmd
	dir   string
	group *run.Group
}

// startProcess starts a program; its arguments may name {dir}.
func startProcess(files map[string]string, name string, args ...string) (*process, error) {
	dir, err := os.MkdirTemp("", "skerry-bench-")
	if err != nil {
		return nil, err
	}
	for file, text := range files {
		if err := os.WriteFile(dir+"/"+file, []byte(strings.ReplaceAll(text, "{dir}", dir)), 0o644); err != nil {
			return nil, err
		}
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{dir}", dir)
	}
	p := &process{cmd: exec.Command(name, args...), dir: dir, group: run.NewGroup(context.Background())}
	log, err := os.Create(dir + "/log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	p.group.Go(func(context.Context) error {
		runtime.LockOSThread() // Pdeathsig is sent when the thread ends
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // it is killed
		}
		return nil
	})
	if err := <-started; err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) close() error {
	_ = p.cmd.Process.Kill() // it may have ended
	done := make(chan struct{})
	g := run.NewGroup(context.Background())
	g.Go(func(context.Context) error { defer close(done); return p.group.Wait() })
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s does not end", p.cmd.Path)
	}
	return os.RemoveAll(p.dir)
}
