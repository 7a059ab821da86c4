package lan

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/bench/benchthrift"
	"github.com/skerry/skerry/internal/lab"
)

// The keystroke-level model of an expert: what a person takes at least.
const (
	keyTime  = 280 * time.Millisecond
	thinking = 1350 * time.Millisecond // before each command
	reading  = time.Second             // of an answer
	walking  = 20 * time.Second        // to the next host, from the seat and in the end back to it
)

// Doctor measures how long an operator takes to see that all processes of a site are well: by a command on
// each host for each process, and by one for the site.
func Doctor(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	hosts := flags.Int("hosts", 12, "hosts of the site")
	each := flags.Int("each", 2, "processes on each host")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "skerry-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tool := filepath.Join(dir, "skerry")
	build := exec.CommandContext(ctx, "go", "build", "-o", tool, "./cmd/skerry")
	build.Dir = ".." // bench is a module without what the commands need
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build skerry: %w: %s", err, out)
	}
	return play(func(t *stage) error {
		w := &ward{ctx: ctx, lan: lab.New(t, *hosts), dir: dir, tool: tool, each: *each}
		if err := w.open(); err != nil {
			return err
		}
		return w.measure()
	})
}

// ward is a site. Its processes are examined.
type ward struct {
	ctx       context.Context
	lan       *lab.LAN
	dir, tool string
	each      int
}

// within is a command on a host, which has a name of its own.
func (w *ward) within(host int, name string, args ...string) *exec.Cmd {
	const named = `hostname "$0" && exec "$@"`
	return w.lan.Host(host).Command("unshare",
		append([]string{"--uts", "sh", "-c", named, fmt.Sprintf("h%d", host+1), name}, args...)...)
}

// file is the configuration of a process.
func (w *ward) file(host, n int) string {
	return filepath.Join(w.dir, fmt.Sprintf("h%d-%d.yaml", host+1, n+1))
}

// open starts the processes, and returns when one of them lists all.
func (w *ward) open() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	all := len(w.lan.Hosts()) * w.each
	for host, h := range w.lan.Hosts() {
		for n := range w.each {
			text := fmt.Sprintf("cluster: ward\nmode: broadcast\nlan: {key: %s}\nlog: {level: error}\nstate_dir: %s\n"+
				"services: [{name: %s, version: v1, listen: \"%s:0\"}]\n",
				lab.SiteKey, filepath.Join(w.dir, fmt.Sprintf("state-%d-%d", host, n)), service, h.IP(0))
			if err := os.WriteFile(w.file(host, n), []byte(text), 0o600); err != nil {
				return err
			}
			h.StartCommand(w.within(host, self, "doctor-node", w.file(host, n)))
		}
	}
	for begun := time.Now(); ; {
		out, err := w.within(0, w.tool, "ls", service, "--json", "-c", w.file(0, 0)).Output()
		if n := bytes.Count(out, []byte(`"addr"`)); n == all {
			return nil
		} else if time.Since(begun) > time.Minute {
			return fmt.Errorf("%d of %d processes are listed after a minute: %w", n, all, err)
		}
	}
}

// DoctorNode is a process of the site, until it is killed.
func DoctorNode(ctx context.Context, args []string) error {
	n, err := skerry.OpenFile(ctx, args[0])
	if err != nil {
		return err
	}
	defer n.Close()
	if err := n.Handle(ctx, service, benchthrift.NewEchoProcessor(station{})); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// effort is what one way of looking costs.
type effort struct {
	commands, keys, lines, walks int
	machine                      time.Duration
}

func (l *effort) operator() time.Duration {
	return l.machine + time.Duration(l.keys)*keyTime + time.Duration(l.commands)*(thinking+reading) +
		time.Duration(l.walks)*walking
}

// run runs a command as the operator types it. Exit code 1 says that something was found.
func (w *ward) run(l *effort, host int, typed string, args ...string) error {
	begun := time.Now()
	out, err := w.within(host, w.tool, args...).Output()
	l.machine += time.Since(begun)
	l.commands++
	l.keys += len(typed) + 1
	l.lines += bytes.Count(out, []byte("\n"))
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil
	}
	return err
}

func (w *ward) measure() error {
	var there, remote, site effort
	for host := range w.lan.Hosts() {
		for n := range w.each {
			typed := fmt.Sprintf("skerry doctor -c /etc/site/%s%d.yaml", service, n+1)
			if err := w.run(&there, host, typed, "doctor", "-c", w.file(host, n)); err != nil {
				return err
			}
			remote.keys += len(fmt.Sprintf("ssh h%d ", host+1))
		}
	}
	remote.keys += there.keys
	remote.commands, remote.lines, remote.machine = there.commands, there.lines, there.machine
	there.walks = len(w.lan.Hosts())
	if err := w.run(&site, 0, fmt.Sprintf("skerry doctor --site -c /etc/site/%s1.yaml", service), "doctor", "--site",
		"-c", w.file(0, 0)); err != nil {
		return err
	}
	fmt.Printf("%d processes on %d hosts; operator: keystroke-level model, an expert's lower bound\n\n",
		w.each*len(w.lan.Hosts()), len(w.lan.Hosts()))
	fmt.Println("| way | commands | keys | lines | machine | operator |\n|---|---|---|---|---|---|")
	for _, row := range []struct {
		way string
		effort
	}{{"one by one, at each host", there}, {"one by one, over ssh", remote}, {"`skerry doctor --site`", site}} {
		fmt.Printf("| %s | %d | %d | %d | %.1f s | %.0f s |\n", row.way, row.commands, row.keys, row.lines,
			row.machine.Seconds(), row.operator().Seconds())
	}
	return nil
}
