package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// TestMain is also the shim of the tests.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "shim" {
		os.Exit(shim.Main(os.Args[2]))
	}
	if len(os.Args) == 4 && os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3])
	}
	os.Exit(m.Run())
}

// serve is a program that accepts connections once a file is there.
func serve(port, file string) {
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		c.Close()
	}
}

// patience bounds what should take milliseconds.
const patience = time.Minute

// key signs in memory.
type key struct{ ed25519.PrivateKey }

func newKey(seed byte) key {
	return key{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))}
}

func (k key) Sign(namespace string, message []byte) ([]byte, error) {
	public := sshsig.PublicKey(k.Public().(ed25519.PublicKey))
	return sshsig.Blob(public, namespace, ed25519.Sign(k.PrivateKey, sshsig.Signed(namespace, message)))
}

func (k key) line(name, namespace string) string {
	return fmt.Sprintf("%s namespaces=%q %s\n", name, namespace, sshsig.PublicKey(k.Public().(ed25519.PublicKey)))
}

// host is a host with a store, keys and an agent, which stop kills.
type host struct {
	t                 *testing.T
	config            Config
	store             *artifact.Store
	operator, builder key
	check             string // of the artifacts that are made
	count             int    // of instances in plans; 0: 1
	first, ports      int    // of the plans' ports, and how many there are; 0: 10
	hurries           bool   // the agent collects garbage at once
	stop              func()
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a short path, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &host{t: t, operator: newKey(1), builder: newKey(2), first: 7001, ports: 10, stop: func() {}}
	h.write(dir+"/operators", h.operator.line("wang", plan.Namespace))
	h.write(dir+"/builders", h.builder.line("li", sshsig.Artifact))
	if err := os.Mkdir(dir+"/secrets", 0o700); err != nil {
		t.Fatal(err)
	}
	h.write(dir+"/secrets/db", "the password\n")
	h.config, err = parseConfig("agent.yaml", fmt.Appendf(nil, "cluster: site\nhost: h\ndir: %[1]s/a\n"+
		"plan: %[1]s/plan.yaml\noperators: %[1]s/operators\nbuilders: %[1]s/builders\nsecrets: %[1]s/secrets\n"+
		"store: {dir: %[1]s/store, floor: 1MiB}", dir))
	if err != nil {
		t.Fatal(err)
	}
	if h.store, err = artifact.Open(h.config.Store.Dir, artifact.Options{}); err != nil {
		t.Fatal(err)
	}
	h.start()
	t.Cleanup(h.end)
	return h
}

// end ends the agent and its instances.
func (h *host) end() {
	h.stop()
	for _, i := range h.report().Instances {
		if path, err := Find(h.config.Dir, i.Name); err == nil {
			shim.Ask(context.Background(), path, shim.DoKill, -1)
			shim.Ask(context.Background(), path, shim.DoWait, -1)
		}
	}
}

func (h *host) write(path, text string) {
	h.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// start starts an agent.
func (h *host) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a := New(h.config, os.Args[0], "shim")
		if h.hurries {
			a.settle = 100 * time.Millisecond
		}
		if err := a.Run(ctx); err != nil {
			h.t.Error(err)
		}
	}()
	h.stop = func() {
		cancel()
		<-done
		h.stop = func() {}
	}
	h.until("the agent runs", func(r Report) bool { return r.Running })
}

func (h *host) report() Report {
	r, err := Look(context.Background(), h.config.Dir)
	if err != nil {
		return Report{Problem: err.Error()}
	}
	return r
}

func (h *host) until(what string, is func(Report) bool) (r Report) {
	h.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if r = h.report(); is(r) {
			return r
		}
		if time.Now().After(end) {
			h.t.Fatalf("never came true: %s; %+v", what, r)
		}
	}
}

// make makes an artifact of auth, a shell script, that a key has signed.
func (h *host) make(version, script string, by key) artifact.Digest {
	h.t.Helper()
	from := h.t.TempDir()
	if err := os.WriteFile(from+"/auth", []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		h.t.Fatal(err)
	}
	run := artifact.Run{Command: "./auth", Args: []string{"${config}", "${port}", "${state}"}, Ports: []string{"main"},
		Check: h.check,
		Env:   map[string]string{"PASSWORD_FILE": "${secret:db}"}}
	a, err := h.store.Make(h.t.Context(), from, artifact.Manifest{Service: "auth", Version: version,
		Platform: platform, Run: run}, by)
	if err != nil {
		h.t.Fatal(err)
	}
	return a.Digest
}

// order writes a plan that runs versions of auth, signed by a key.
func (h *host) order(number int, by key, config string, versions map[string]artifact.Digest) {
	h.t.Helper()
	ports := ""
	if h.first > 0 {
		ports = fmt.Sprintf("    ports: %d-%d\n", h.first, h.first+max(h.ports, 1)-1)
	}
	text := fmt.Sprintf("plan: %d\ncluster: site\nservices:\n  auth:\n    user: root\n%s"+
		"    config: %q\n    run:\n", number, ports, config)
	for version, d := range versions {
		text += fmt.Sprintf("      %s: {artifacts: {any: %q}, hosts: {h: %d}}\n", version, d, max(1, h.count))
	}
	blob, err := by.Sign(plan.Namespace, []byte(text))
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(h.config.Plan+".sig", string(sshsig.Armor(blob)))
	h.write(h.config.Plan, text)
}

// serving is a program that says what it was given, and stays.
const serving = `echo "port $2 of $(cat "$1") with $(cat "$PASSWORD_FILE")" >"$3/said"; exec sleep 1000`

func isUp(r Report, name string) bool { return pidOf(r, name) != 0 }

func pidOf(r Report, name string) int {
	for _, i := range r.Instances {
		if i.Name == name && i.Phase == string(shim.Up) {
			return i.PID
		}
	}
	return 0
}

// TestAgentRunsThePlan: v1 starts with its port, configuration and secret, lives on when the agent goes and another
// comes, v2 starts beside it, and v1 is stopped when no plan wants it.
func TestAgentRunsThePlan(t *testing.T) {
	h := newHost(t)
	v1, v2 := h.make("v1", serving, h.builder), h.make("v2", serving, h.builder)
	h.order(1, h.operator, "${host} ${secret:db}", map[string]artifact.Digest{"v1": v1})
	pid := pidOf(h.until("v1 is up", func(r Report) bool { return isUp(r, "auth/v1#1") }), "auth/v1#1")
	said := filepath.Join(h.config.Dir, "state", "auth~1", "said")
	h.until("v1 has said what it was given", func(Report) bool {
		text, _ := os.ReadFile(said)
		return string(text) == "port 7001 of h the password with the password\n"
	})

	h.until("what v1 uses is told", func(r Report) bool {
		i := find(r, "auth/v1#1")
		return i.Memory > 100<<10 && i.Memory < 1<<30 && i.CPU > 0 && i.CPU < time.Hour && i.Artifact == v1
	})

	h.stop()
	if r := h.report(); r.Running || pidOf(r, "auth/v1#1") != pid {
		t.Errorf("without an agent: %+v", r)
	}
	h.order(2, h.operator, "${host} ${secret:db}", map[string]artifact.Digest{"v1": v1, "v2": v2})
	h.start()
	r := h.until("v2 is up", func(r Report) bool { return isUp(r, "auth/v2#1") })
	if pidOf(r, "auth/v1#1") != pid {
		t.Error("another agent has touched v1")
	}
	if ports := fmt.Sprint(r.Instances[0].Ports, r.Instances[1].Ports); ports != "[7001] [7002]" {
		t.Errorf("ports %s", ports)
	}
	h.order(3, h.operator, "${host} ${secret:db}", map[string]artifact.Digest{"v2": v2})
	h.until("v1 is stopped", func(r Report) bool { return r.Instances[0].Phase == string(shim.Stopped) })
	for _, name := range []string{"agent.json", "plan.json", "instances/auth~v2~1/spec.json"} {
		text, err := os.ReadFile(filepath.Join(h.config.Dir, name))
		if err != nil || bytes.Contains(text, []byte("the password")) {
			t.Errorf("%s has the secret, or %v", name, err)
		}
	}
}

// TestShimThatDiesIsReplaced: the instance dies with its shim, and the agent starts both again.
func TestShimThatDiesIsReplaced(t *testing.T) {
	h := newHost(t)
	h.order(1, h.operator, "x", map[string]artifact.Digest{"v1": h.make("v1", serving, h.builder)})
	pid := pidOf(h.until("it is up", func(r Report) bool { return isUp(r, "auth/v1#1") }), "auth/v1#1")
	path, err := Find(h.config.Dir, "auth")
	if err != nil {
		t.Fatal(err)
	}
	s, err := shim.Ask(t.Context(), path, shim.DoStatus, -1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(s.Shim.PID)
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	h.until("it is up again", func(r Report) bool {
		now := pidOf(r, "auth/v1#1")
		return now != 0 && now != pid
	})
}

// TestOrdersThatAreRefused: each leaves what runs alone, and is said.
func TestOrdersThatAreRefused(t *testing.T) {
	h := newHost(t)
	v1 := map[string]artifact.Digest{"v1": h.make("v1", serving, h.builder)}
	h.order(5, h.operator, "x", v1)
	pid := pidOf(h.until("it is up", func(r Report) bool { return isUp(r, "auth/v1#1") }), "auth/v1#1")
	refused := func(want string) {
		t.Helper()
		r := h.until("refused: "+want, func(r Report) bool { return strings.Contains(r.Problem, want) })
		if r.Plan != 5 || pidOf(r, "auth/v1#1") != pid {
			t.Errorf("%s: the host obeys plan %d: %+v", want, r.Plan, r)
		}
	}
	h.order(6, h.builder, "x", nil)
	refused("may not sign skerry-plan")
	h.order(4, h.operator, "x", nil)
	refused("has number 4")
	h.order(5, h.operator, "other", nil)
	refused("two plans have the number 5")
	h.order(6, h.operator, "x", nil)
	h.write(h.config.Plan, "plan: 6\ncluster: site\n# changed after it was signed\n")
	refused("signature")

	if err := Lock(h.config.Dir, true); err != nil {
		t.Fatal(err)
	}
	h.until("it is locked", func(r Report) bool { return r.Locked && !strings.Contains(r.Problem, "signature") })
	h.order(7, h.operator, "x", nil)
	if r := h.report(); r.Plan != 5 || pidOf(r, "auth/v1#1") != pid {
		t.Errorf("a locked host: %+v", r)
	}
	if err := Lock(h.config.Dir, false); err != nil {
		t.Fatal(err)
	}
	h.until("it obeys plan 7", func(r Report) bool { return r.Plan == 7 && !isUp(r, "auth/v1#1") })
}

// TestArtifactsThatAreRefused: an operator's key alone runs only what a builder has signed, under its own name.
func TestArtifactsThatAreRefused(t *testing.T) {
	h := newHost(t)
	says := func(version, want string) {
		t.Helper()
		h.until(want, func(r Report) bool {
			for _, i := range r.Instances {
				if i.Name == "auth/"+version+"#1" && strings.Contains(i.Problem, want) && i.Phase == "wanted" {
					return true
				}
			}
			return false
		})
	}
	h.order(1, h.operator, "x", map[string]artifact.Digest{
		"v1": h.make("v1", serving, h.operator),
		"v4": h.make("v3", serving, h.builder),
	})
	says("v1", "may not sign")
	says("v4", "is auth/v3/")
	h.order(2, h.operator, "x", map[string]artifact.Digest{"v2": artifact.Digest("sha256:" + strings.Repeat("7", 64))})
	says("v2", "skerry bundle import")
	h.order(3, h.operator, "${secret:none}", map[string]artifact.Digest{"v5": h.make("v5", serving, h.builder)})
	says("v5", "secret none")
}

// TestLookHoldsUpNoAgent: a command looks whether an agent runs in the moment when one starts.
func TestLookHoldsUpNoAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	looks, err := statedir.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(30*time.Millisecond, func() { looks.Close() })
	lock, err := take(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := take(t.Context(), path); !errors.Is(err, statedir.ErrLocked) {
		t.Errorf("two agents: %v", err)
	}
}

func TestConfigMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"host: h":                           "cluster",
		"cluster: site\nhost: h\ndir: x":    "no absolute path",
		"cluster: site\nhost: h\nplans: /x": "plans",
		"cluster: site\nhost: h\nkeep: -1":  "keep",
		"cluster: site\nhost: a b":          "host",
	} {
		if _, err := parseConfig("agent.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLongNamesFitIntoSockets(t *testing.T) {
	long := plan.Instance{Service: strings.Repeat("s", 200), Version: "v1", N: 1}
	other := long
	other.N = 2
	if a, b := dirName(long), dirName(other); len(a) > 40 || a == b {
		t.Errorf("%q, %q", a, b)
	}
}

// TestCheckDecidesWhatIsUp: an instance is up when its check answers, and a changed service waits for it.
func TestCheckDecidesWhatIsUp(t *testing.T) {
	h := newHost(t)
	h.check, h.count, h.first = "tcp", 2, 17101
	open := func(n int) string { return filepath.Join(h.config.Dir, "state", fmt.Sprintf("auth~%d", n), "open") }
	d := map[string]artifact.Digest{"v1": h.make("v1", fmt.Sprintf("exec %s serve $2 $3/open", os.Args[0]), h.builder)}
	h.order(1, h.operator, "x", d)
	silent := func(r Report, name string) bool {
		for _, i := range r.Instances {
			if i.Name == name {
				return strings.Contains(i.Problem, "check does not answer")
			}
		}
		return false
	}
	h.until("both run and do not answer", func(r Report) bool {
		return silent(r, "auth/v1#1") && silent(r, "auth/v1#2") && isUp(r, "auth/v1#1") && isUp(r, "auth/v1#2")
	})
	h.write(open(1), "")
	h.until("the first is up", func(r Report) bool { return !silent(r, "auth/v1#1") && silent(r, "auth/v1#2") })
	h.write(open(2), "")
	r := h.until("both are up", func(r Report) bool { return !silent(r, "auth/v1#1") && !silent(r, "auth/v1#2") })
	pids := []int{pidOf(r, "auth/v1#1"), pidOf(r, "auth/v1#2")}

	if err := os.Remove(open(1)); err != nil {
		t.Fatal(err)
	}
	h.order(2, h.operator, "changed", d)
	h.until("the first is changed, and silent", func(r Report) bool {
		return silent(r, "auth/v1#1") && isUp(r, "auth/v1#1") && pidOf(r, "auth/v1#1") != pids[0]
	})
	r = h.until("the second waits", func(r Report) bool {
		return len(r.Instances) == 2 && strings.Contains(r.Instances[1].Problem, "waits until auth/v1#1 is up")
	})
	if pidOf(r, "auth/v1#2") != pids[1] {
		t.Error("the second was changed before the first was up")
	}
	h.write(open(1), "")
	h.until("the second is changed", func(r Report) bool {
		now := pidOf(r, "auth/v1#2")
		return now != 0 && now != pids[1] && !silent(r, "auth/v1#2")
	})
}

// TestCheckNeedsAPort: a port that the program chooses is not known.
func TestCheckNeedsAPort(t *testing.T) {
	h := newHost(t)
	h.check, h.first = "tcp", 0
	h.order(1, h.operator, "x", map[string]artifact.Digest{"v1": h.make("v1", serving, h.builder)})
	h.until("it says so", func(r Report) bool {
		return len(r.Instances) == 1 && strings.Contains(r.Instances[0].Problem, "ports in the plan")
	})
}
