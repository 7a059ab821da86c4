// Command startup measures the size of a service that imports skerry, and how fast it starts:
// examples/portal/cmd/auth, on the loopback interface.
//
//	go run ./scripts/startup          # 20 starts
//	go run ./scripts/startup -n 5
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const program = "./examples/portal/cmd/auth"

// configuration is a process alone on its host. Traces may begin as soon as the LAN was queried.
const configuration = `cluster: startup
mode: broadcast
lan: {interfaces: [lo], port: 10240}
site: {keys: none}
state_dir: none
stop: {grace: none}
service: {name: auth, version: v1, listen: "127.0.0.1:0"}
`

func main() {
	n := flag.Int("n", 20, "starts")
	flag.Parse()
	if err := measure(*n); err != nil {
		fmt.Fprintln(os.Stderr, "startup:", err)
		os.Exit(1)
	}
}

func measure(n int) error {
	dir, err := os.MkdirTemp("", "startup-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "skerry.yaml")
	if err := os.WriteFile(config, []byte(configuration), 0o600); err != nil {
		return err
	}
	binary := filepath.Join(dir, "auth")
	for _, stripped := range []bool{true, false} {
		size, err := build(binary, stripped)
		if err != nil {
			return err
		}
		fmt.Printf("size, symbols stripped %v: %.1f MiB\n", stripped, float64(size)/(1<<20))
	}
	times := map[string][]time.Duration{}
	for range n {
		if err := start(binary, config, times); err != nil {
			return err
		}
	}
	for _, m := range milestones {
		took := times[m.what]
		slices.Sort(took)
		fmt.Printf("%s: median %v, slowest of %d %v\n", m.what, took[n/2].Round(100*time.Microsecond), n,
			took[n-1].Round(100*time.Microsecond))
	}
	return nil
}

// build links the program and returns its size in bytes.
func build(binary string, stripped bool) (int64, error) {
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if stripped {
		args = append(args, "-ldflags=-s -w")
	}
	cmd := exec.Command("go", append(args, program)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// milestones are lines of the program's log, in this order.
var milestones = []struct{ what, text string }{
	{"the node is open", "node is open"},
	{"its service is offered", "addr=127.0.0.1:"},
}

// start runs the program until it has logged all milestones, and records their times.
func start(binary, config string, times map[string][]time.Duration) error {
	cmd := exec.Command(binary, "-config", config)
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	watchdog := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	left := slices.Clone(milestones)
	for lines := bufio.NewScanner(log); len(left) > 0 && lines.Scan(); {
		if strings.Contains(lines.Text(), left[0].text) {
			times[left[0].what] = append(times[left[0].what], time.Since(begun))
			left = left[1:]
		}
	}
	_ = cmd.Process.Signal(os.Interrupt)
	_, _ = io.Copy(io.Discard, log)
	_ = cmd.Wait()
	if len(left) > 0 {
		return fmt.Errorf("the program's log does not say %q", left[0].text)
	}
	return nil
}
