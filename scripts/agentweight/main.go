// Command agentweight measures what an agent and its shims take at rest, and how soon a program that was killed runs
// again, with the released binary and real programs.
//
//	go run ./scripts/agentweight                          # 4 instances, a minute
//	go run ./scripts/agentweight -network                 # with the agent as a process of the site
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

func main() {
	n := flag.Int("instances", 4, "how many instances run")
	network := flag.Bool("network", false, "the agent is a process of a site, on the loopback interface")
	during := flag.Duration("for", time.Minute, "how long the rest is measured")
	flag.Parse()
	if err := measure(*n, *network, *during); err != nil {
		fmt.Fprintln(os.Stderr, "agentweight:", err)
		os.Exit(1)
	}
}

// key signs plan and artifact.
type key struct{ ed25519.PrivateKey }

func (k key) public() sshsig.PublicKey { return sshsig.PublicKey(k.Public().(ed25519.PublicKey)) }

func (k key) Sign(namespace string, message []byte) ([]byte, error) {
	return sshsig.Blob(k.public(), namespace, ed25519.Sign(k.PrivateKey, sshsig.Signed(namespace, message)))
}

// site is a host in a directory.
type site struct{ dir, binary string }

func (s site) path(name string) string { return filepath.Join(s.dir, name) }

func measure(n int, network bool, during time.Duration) error {
	dir, err := os.MkdirTemp("", "weight")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := site{dir, filepath.Join(dir, "skerry")}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", s.binary, "./cmd/skerry")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make dist builds it
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	if err := s.fill(n, network); err != nil {
		return err
	}
	run := exec.Command(s.binary, "agent", "run", "-f", s.path("agent.yaml"))
	run.Stderr = os.Stderr
	if err := run.Start(); err != nil {
		return err
	}
	defer s.end(run)
	up, err := s.up(n)
	if err != nil {
		return err
	}
	time.Sleep(5 * time.Second) // what the start leaves to do
	pids := []int{run.Process.Pid}
	for _, i := range up {
		path, err := agent.Find(s.path("agent"), i.Name)
		if err != nil {
			return err
		}
		state, err := shim.ReadState(path)
		if err != nil {
			return err
		}
		pids = append(pids, state.Shim.PID)
	}
	if err := rest(pids, during); err != nil {
		return err
	}
	return s.crash(up[0])
}

// fill writes keys, an artifact, a plan and the configuration of a host.
func (s site) fill(n int, network bool) error {
	k := key{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
	for _, d := range []string{"build", "secrets"} {
		if err := os.Mkdir(s.path(d), 0o700); err != nil {
			return err
		}
	}
	err := os.WriteFile(s.path("build/program"), []byte("#!/bin/sh\nexec sleep 100000\n"), 0o700)
	if err != nil {
		return err
	}
	store, err := artifact.Open(s.path("store"), artifact.Options{})
	if err != nil {
		return err
	}
	a, err := store.Make(context.Background(), s.path("build"), artifact.Manifest{Service: "program", Version: "v1",
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Run: artifact.Run{Command: "./program"}}, k)
	if err != nil {
		return err
	}
	order := fmt.Sprintf("plan: 1\ncluster: weight\nservices:\n  program:\n    user: root\n    run:\n"+
		"      v1: {artifacts: {any: %q}, hosts: {h: %d}}\n", a.Digest, n)
	signed, err := k.Sign(plan.Namespace, []byte(order))
	if err != nil {
		return err
	}
	config := fmt.Sprintf("cluster: weight\nhost: h\ndir: %[1]s/agent\nplan: %[1]s/plan.yaml\n"+
		"operators: %[1]s/keys\nbuilders: %[1]s/keys\nsecrets: %[1]s/secrets\nstore: {dir: %[1]s/store, floor: 1MiB}\n",
		s.dir)
	if network {
		config += "site: " + s.path("skerry.yaml") + "\n"
	}
	const member = "cluster: weight\nmode: broadcast\nlan: {interfaces: [lo], port: 10240}\nsite: {keys: none}\n" +
		"state_dir: none\n"
	line := fmt.Sprintf("it namespaces=\"%s,%s\" %s\n", plan.Namespace, sshsig.Artifact, k.public())
	for name, text := range map[string]string{"keys": line, "plan.yaml": order, "agent.yaml": config,
		"skerry.yaml":   member,
		"plan.yaml.sig": string(sshsig.Armor(signed))} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// up waits until n instances run.
func (s site) up(n int) (up []agent.Instance, err error) {
	for range 600 {
		r, err := agent.Look(context.Background(), s.path("agent"))
		up = up[:0]
		for _, i := range r.Instances {
			if err == nil && i.Phase == string(shim.Up) {
				up = append(up, i)
			}
		}
		if len(up) == n {
			return up, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, fmt.Errorf("%d of %d instances run after a minute", len(up), n)
}

// rest prints what processes take while nothing happens.
func rest(pids []int, during time.Duration) error {
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		var err error
		if before[i], err = used(pid); err != nil {
			return err
		}
	}
	time.Sleep(during)
	for i, pid := range pids {
		after, err := used(pid)
		if err != nil {
			return err
		}
		all, own, err := memory(pid)
		if err != nil {
			return err
		}
		name := "shim "
		if i == 0 {
			name = "agent"
		}
		fmt.Printf("%s: %.1f MiB resident, of it %.1f MiB its own; %.3f %% of a core\n", name, all, own,
			100*(after-before[i]).Seconds()/during.Seconds())
	}
	return nil
}

// used is the processor time of a process, of the schedule's clock: ticks are too coarse.
func used(pid int) (sum time.Duration, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("process %d: no schedstat: %w", pid, err)
	}
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// memory is the resident memory of a process in MiB, and how much of it no file backs.
func memory(pid int) (all, own float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			all = kib / 1024
		case "RssAnon:":
			own = kib / 1024
		}
	}
	return all, own, nil
}

// crash kills a program, and prints how soon it runs again.
func (s site) crash(i agent.Instance) error {
	path, err := agent.Find(s.path("agent"), i.Name)
	if err != nil {
		return err
	}
	began := time.Now()
	program, err := os.FindProcess(i.PID)
	if err == nil {
		err = program.Kill()
	}
	if err != nil {
		return err
	}
	for time.Since(began) < time.Minute {
		state, err := shim.Ask(context.Background(), path, shim.DoStatus, -1)
		if err == nil && state.Child != nil && state.Child.PID != i.PID {
			fmt.Printf("killed, and running again after %d ms\n", time.Since(began).Milliseconds())
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("a program that was killed does not run again within a minute")
}

// end kills the agent and all instances.
func (s site) end(run *exec.Cmd) {
	run.Process.Kill()
	run.Wait()
	r, _ := agent.Look(context.Background(), s.path("agent"))
	for _, i := range r.Instances {
		if path, err := agent.Find(s.path("agent"), i.Name); err == nil {
			shim.Ask(context.Background(), path, shim.DoKill, -1)
			shim.Ask(context.Background(), path, shim.DoWait, -1)
		}
	}
}
