package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/testsite"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

const ownPlatform = runtime.GOOS + "/" + runtime.GOARCH

func TestMain(m *testing.M) { pgtest.Main(m) }

// agentSite are hosts with agents that know one another, on this machine.
type agentSite struct {
	t     *testing.T
	dir   string
	bin   string
	key   signer
	lines string // of each process's configuration
	hosts map[string]*agentHost
}

func newAgentSite(t *testing.T, cluster, lines string, names ...string) *agentSite {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "skerry-agents-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	bin, err := testsite.Command()
	must(t, err)
	s := &agentSite{t: t, dir: dir, bin: bin, hosts: map[string]*agentHost{},
		key: signer{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))}}
	block, err := ssh.MarshalPrivateKey(s.key.PrivateKey, "wang")
	must(t, err)
	must(t, os.WriteFile(s.path("key"), pem.EncodeToMemory(block), 0o600))
	must(t, os.WriteFile(s.path("operators"), []byte(fmt.Sprintf("wang namespaces=\"%s,%s,%s\" %s\n", plan.Namespace,
		sshsig.Artifact, sshsig.Release, s.key.public())), 0o600))
	s.lines = "cluster: " + cluster + "\n" + lines + "site: {operators: " + s.path("operators") + "}\n" +
		"stop: {grace: 500ms, drain: 10s}\nstats: {interval: none}\n"
	s.configure(s.path("operator.yaml"), "operator")
	for _, name := range names {
		h := &agentHost{t: t, dir: s.path(name), key: s.key, bin: bin}
		must(t, os.MkdirAll(h.path("secrets"), 0o700))
		s.configure(h.path("skerry.yaml"), name)
		h.write("agent.yaml", fmt.Sprintf("cluster: %[4]s\nhost: %[2]s\ndir: %[1]s/agent\nplan: %[1]s/plan.yaml\n"+
			"operators: %[3]s\nbuilders: %[3]s\nsecrets: %[1]s/secrets\nsite: %[1]s/skerry.yaml\n"+
			"store: {dir: %[1]s/store, floor: 1MiB}\n", h.dir, name, s.path("operators"), cluster))
		s.hosts[name] = h
	}
	return s
}

func (s *agentSite) path(name string) string { return filepath.Join(s.dir, name) }

// configure writes the configuration of a process with a directory of its own for what it keeps.
func (s *agentSite) configure(path, name string) {
	s.t.Helper()
	state := s.path(name + "-state")
	must(s.t, os.MkdirAll(state, 0o700))
	must(s.t, os.WriteFile(path, []byte(s.lines+"state_dir: "+state+"\n"), 0o600))
}

// make makes an artifact of a version of auth in the store of every host.
func (s *agentSite) make(program, version string) (d artifact.Digest) {
	s.t.Helper()
	for _, h := range s.hosts {
		store, err := artifact.Open(h.path("store"), artifact.Options{})
		must(s.t, err)
		run := artifact.Run{Command: "./" + filepath.Base(program), Args: []string{"${config}"}}
		a, err := store.Make(s.t.Context(), filepath.Dir(program), artifact.Manifest{Service: "auth", Version: version,
			Platform: ownPlatform, Run: run}, s.key)
		must(s.t, err)
		d = a.Digest
	}
	return d
}

// skerry runs a command of the operator.
func (s *agentSite) skerry(line ...string) {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), s.bin, append(line, "--config", s.path("operator.yaml"))...)
	c.Env = append(os.Environ(), "SKERRY_OPERATOR_KEY="+s.path("key"), "SKERRY_STORE="+s.hosts["ops-1"].path("store"))
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("skerry %s: %v\n%s", strings.Join(line, " "), err, out)
	}
	s.t.Logf("skerry %s\n%s", strings.Join(line, " "), out)
}

// run reports what runs of auth on all hosts: "v1 v1 v2".
func (s *agentSite) run() string {
	var all []string
	for _, name := range []string{"ops-1", "ops-2"} {
		r, err := agent.Look(s.t.Context(), s.hosts[name].path("agent"))
		if err != nil {
			return err.Error()
		}
		for _, i := range r.Instances {
			if i.Phase == string(shim.Up) {
				all = append(all, strings.TrimPrefix(strings.Split(i.Name, "#")[0], "auth/"))
			}
		}
	}
	return strings.Join(all, " ")
}

// requests are made until the end: each is a trace with three calls, which must meet one version.
type requests struct {
	made, failed, mixed atomic.Int64
	met                 sync.Map // version → nothing
}

func (r *requests) one(t *testing.T, node *skerry.Node, auth *authapi.AuthClient) {
	ctx, end := node.Begin(t.Context(), "request")
	defer end()
	first := ""
	for range 3 {
		version, err := auth.Verify(ctx, "")
		if err != nil {
			if r.failed.Add(1) == 1 {
				t.Errorf("after %d requests: %v", r.made.Load(), err)
			}
			return
		}
		if first == "" {
			first = version
		}
		if version != first {
			r.mixed.Add(1)
		}
		r.met.Store(version, true)
		time.Sleep(5 * time.Millisecond)
	}
	r.made.Add(1)
}

// TestReleaseWithAgents: a version is shipped, committed, rolled back and cleaned, and then shipped for good, by
// commands alone: agents start and stop it. One agent is killed in each step and another one comes. No request fails,
// and none meets two versions.
func TestReleaseWithAgents(t *testing.T) {
	program := filepath.Join(t.TempDir(), "served")
	root, err := testsite.Root()
	must(t, err)
	build := exec.Command("go", "build", "-o", program, "./test/agent/served")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Run("lan", func(t *testing.T) {
		t.Parallel()
		releaseWithAgents(t, program, "agents-lan", fmt.Sprintf(
			"mode: broadcast\nlan: {interfaces: [lo], port: %d, key: %s}\n", testsite.Port(t), testsite.SiteKey))
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		pg := pgtest.Shared(t)
		releaseWithAgents(t, program, "agents-database", fmt.Sprintf(
			"mode: database\ndatabase: {url: %q}\nlan: {key: %s}\n", pg.SocketURL(pg.CreateDB(t)), testsite.SiteKey))
	})
}

func releaseWithAgents(t *testing.T, program, cluster, lines string) {
	s := newAgentSite(t, cluster, lines, "ops-1", "ops-2")
	v1 := s.make(program, "v1")
	s.make(program, "v2")
	first := s.hosts["ops-1"]
	text := fmt.Sprintf(`plan: 1
cluster: %s
services:
  auth:
    user: root
    config: |
      %s
      state_dir: "${state}"
      services: [{name: auth, version: "${version}", listen: "127.0.0.1:0"}]
    run:
      v1: {artifacts: {%s: %q}, hosts: {ops-1: 1, ops-2: 1}}
`, cluster, strings.ReplaceAll(strings.TrimSpace(s.lines), "\n", "\n      "), ownPlatform, v1)
	signed, err := s.key.Sign(plan.Namespace, []byte(text))
	must(t, err)
	first.write("plan.yaml.sig", string(sshsig.Armor(signed)))
	first.write("plan.yaml", text)
	for _, h := range s.hosts {
		h.start()
		defer h.end()
	}
	runs := func(want string) {
		t.Helper()
		eventually(t, "the hosts run "+want, func() bool { return s.run() == want })
	}
	runs("v1 v1") // ops-2 has the plan from ops-1

	cfg, err := config.Parse("caller.yaml", []byte(s.lines+"state_dir: "+t.TempDir()+
		"\nconsumers: {auth: {timeout: 20s, wait: 15s}}\n"))
	must(t, err)
	node, err := skerry.Open(t.Context(), cfg)
	must(t, err)
	defer node.Close()
	made := &requests{}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 4 {
		auth := authapi.NewAuthClient(node.Client("auth")) // of one goroutine
		group.Go(func() {
			for ctx.Err() == nil {
				made.one(t, node, auth)
			}
		})
	}
	defer group.Wait()
	defer cancel()
	meets := func(version string) {
		t.Helper()
		made.met.Clear()
		eventually(t, "requests meet "+version, func() bool { _, is := made.met.Load(version); return is })
	}
	replace := func() { // by an agent that finds what runs
		first.kill()
		first.start()
	}
	meets("v1")
	s.skerry("release", "start", "--reason", "tokens", "--yes")
	replace()
	s.skerry("release", "ship", "auth", "--version", "v2", "--yes")
	runs("v1 v2 v1 v2")
	s.skerry("release", "commit", "--yes")
	meets("v2")
	replace()
	s.skerry("release", "rollback", "--yes")
	meets("v1")
	s.skerry("release", "clean", "--yes")
	runs("v1 v1")
	s.skerry("release", "start", "--reason", "tokens, mended", "--yes")
	s.skerry("release", "ship", "auth", "--version", "v2", "--yes")
	replace()
	s.skerry("release", "commit", "--yes")
	s.skerry("release", "clean", "--yes")
	runs("v2 v2")
	meets("v2")
	cancel()
	group.Wait()
	if made.failed.Load() > 0 || made.mixed.Load() > 0 || made.made.Load() < 20 {
		t.Errorf("%d requests, %d failed, %d mixed", made.made.Load(), made.failed.Load(), made.mixed.Load())
	}
	t.Logf("%d requests, none failed or mixed", made.made.Load())
}
