package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/polyglot/gen/polyglot"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/testsite"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// both is Auth and DB, in Go: Proc in Python calls them.
type both struct{}

func (both) GetToken(context.Context, string, string) (*polyglot.Answer, error) {
	return &polyglot.Answer{}, nil
}

func (both) Verify(_ context.Context, _, token string) (*polyglot.Answer, error) {
	return &polyglot.Answer{Text: "user of " + token, Met: []*polyglot.Met{}}, nil
}

func (both) FullName(context.Context, string, string) (*polyglot.Answer, error) {
	return &polyglot.Answer{}, nil
}

func (both) Read(_ context.Context, _, _, key string) (*polyglot.Answer, error) {
	return &polyglot.Answer{Text: "record " + key, Met: []*polyglot.Met{}}, nil
}

// signer has one key for plan and artifacts.
type signer struct{ ed25519.PrivateKey }

func (k signer) public() sshsig.PublicKey { return sshsig.PublicKey(k.Public().(ed25519.PublicKey)) }

func (k signer) Sign(namespace string, message []byte) ([]byte, error) {
	return sshsig.Blob(k.public(), namespace, ed25519.Sign(k.PrivateKey, sshsig.Signed(namespace, message)))
}

// agentHost is a host with an agent that runs the Proc of examples/polyglot.
type agentHost struct {
	t    *testing.T
	dir  string
	key  signer
	bin  string
	port int       // of the site; those behind it are for programs
	real *exec.Cmd // the agent
}

func (h *agentHost) path(name string) string { return filepath.Join(h.dir, name) }

func (h *agentHost) write(name, text string) {
	h.t.Helper()
	must(h.t, os.WriteFile(h.path(name), []byte(text), 0o600))
}

// start starts the agent.
func (h *agentHost) start() {
	h.t.Helper()
	h.real = exec.Command(h.bin, "agent", "run", "--file", h.path("agent.yaml"))
	h.real.Stderr = os.Stderr
	must(h.t, h.real.Start())
}

// kill kills the agent without a word.
func (h *agentHost) kill() {
	if h.real == nil {
		return
	}
	h.real.Process.Kill()
	h.real.Wait()
}

// make makes the artifact of a version: the program, its stubs and the helper.
func (h *agentHost) make(version string) artifact.Digest {
	h.t.Helper()
	root, err := testsite.Root()
	must(h.t, err)
	from := h.t.TempDir()
	example := filepath.Join(root, "examples/polyglot")
	out, err := exec.Command("thrift", "--gen", "py", "-out", from, example+"/idl/polyglot.thrift").CombinedOutput()
	if err != nil {
		h.t.Fatalf("thrift: %v: %s", err, out)
	}
	for from, to := range map[string]string{example + "/proc/proc.py": from + "/proc.py",
		filepath.Join(root, "lang/python/skerry.py"): from + "/skerry.py"} {
		text, err := os.ReadFile(from)
		must(h.t, err)
		must(h.t, os.WriteFile(to, text, 0o600))
	}
	store, err := artifact.Open(h.path("store"), artifact.Options{})
	must(h.t, err)
	a, err := store.Make(h.t.Context(), from, artifact.Manifest{Service: "proc", Version: version, Platform: "any",
		Run: artifact.Run{
			Command: filepath.Join(root, ".build/venv/bin/python"),
			Args:    []string{"${dir}/proc.py", "${instance}", "${version}", "${port}"},
			Env:     map[string]string{"PYTHONDONTWRITEBYTECODE": "1"},
			Ports:   []string{"main"},
			Proxy:   &artifact.Proxy{Calls: []string{"auth", "db"}},
			Check:   "thrift",
		}}, h.key)
	must(h.t, err)
	return a.Digest
}

// order writes a plan that runs versions of Proc.
func (h *agentHost) order(number int, versions map[string]artifact.Digest) {
	h.t.Helper()
	text := fmt.Sprintf("plan: %d\ncluster: agents\nservices:\n  proc:\n    user: root\n    ports: %d-%d\n    run:\n",
		number, h.port+50, h.port+53)
	for v, d := range versions {
		text += fmt.Sprintf("      %s: {artifacts: {any: %q}, hosts: {h: 1}}\n", v, d)
	}
	signed, err := h.key.Sign(plan.Namespace, []byte(text))
	must(h.t, err)
	h.write("plan.yaml.sig", string(sshsig.Armor(signed)))
	h.write("plan.yaml", text)
}

// end kills what the agent has started.
func (h *agentHost) end() {
	h.kill()
	for _, kind := range []string{"instances", "proxies"} {
		dirs, _ := filepath.Glob(h.path("agent/" + kind + "/*"))
		for _, dir := range dirs {
			if h.t.Failed() {
				shim.Logs(context.Background(), dir, 20, false, io.MultiWriter(os.Stderr))
			}
			shim.Ask(context.Background(), dir, shim.DoKill, -1)
			shim.Ask(context.Background(), dir, shim.DoWait, -1)
		}
	}
}

// newAgentHost makes a host with Auth and DB in Go, and Proc in version v1 for its agent. node calls.
func newAgentHost(t *testing.T) (h *agentHost, node *skerry.Node) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "skerry-agent-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	bin, err := testsite.Command()
	must(t, err)
	h = &agentHost{t: t, dir: dir, bin: bin, key: signer{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))}}
	h.port = testsite.Port(t)
	for _, d := range []string{"secrets", "state"} {
		must(t, os.Mkdir(h.path(d), 0o700))
	}
	site := fmt.Sprintf("cluster: agents\nmode: broadcast\nlan: {interfaces: [lo], port: %d}\nsite: {keys: none}\n"+
		"state_dir: %s\nrollout: {orphans: migrate}\nstop: {grace: 500ms, drain: 10s}\nstats: {interval: none}\n",
		h.port, h.path("state"))
	h.write("skerry.yaml", site)
	h.write("agent.yaml", fmt.Sprintf("cluster: agents\nhost: h\ndir: %[1]s/agent\nplan: %[1]s/plan.yaml\n"+
		"operators: %[1]s/keys\nbuilders: %[1]s/keys\nsecrets: %[1]s/secrets\nsite: %[1]s/skerry.yaml\n"+
		"store: {dir: %[1]s/store, floor: 1MiB}\n", dir))
	h.write("keys", fmt.Sprintf("it namespaces=\"%s,%s\" %s\n", plan.Namespace, sshsig.Artifact, h.key.public()))

	cfg, err := config.Parse("skerry.yaml", []byte(site+"consumers: {\"*\": {timeout: 30s, wait: 20s}}\n"+
		"services:\n"+
		"  - {name: auth, version: v1, listen: \"127.0.0.1:0\"}\n"+
		"  - {name: db, version: v1, listen: \"127.0.0.1:0\"}\n"))
	must(t, err)
	node, err = skerry.Open(t.Context(), cfg)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	for name, p := range map[string]thrift.TProcessor{"auth": polyglot.NewAuthProcessor(both{}),
		"db": polyglot.NewDBProcessor(both{})} {
		serving.Go(func() {
			if err := node.Serve(ctx, name, p); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		serving.Wait()
		node.Close()
	})
	t.Cleanup(h.end)
	return h, node
}

// load calls Proc all the time.
type load struct {
	t      *testing.T
	client *polyglot.ProcClient
	end    context.CancelFunc
	done   chan struct{}

	calls, newest atomic.Int64 // of them, those that v2 has answered
}

func (l *load) call(ctx context.Context) error {
	a, err := l.client.Process(ctx, "1", "token", "key")
	if err != nil {
		return err
	}
	if a.Text != "user of token: record key" {
		return fmt.Errorf("the answer is %q", a.Text)
	}
	if a.Met[0].Version == "v2" {
		l.newest.Add(1)
	}
	return nil
}

// newLoad begins when the first call was answered. Each call that fails fails the test.
func newLoad(t *testing.T, node *skerry.Node) *load {
	t.Helper()
	l := &load{t: t, client: polyglot.NewProcClient(node.Client("proc")), done: make(chan struct{})}
	must(t, l.call(t.Context())) // waits until it is listed
	var ctx context.Context
	ctx, l.end = context.WithCancel(t.Context())
	go func() {
		defer close(l.done)
		for ctx.Err() == nil {
			if err := l.call(context.Background()); err != nil {
				t.Errorf("call %d: %v", l.calls.Load(), err)
			}
			l.calls.Add(1)
		}
	}()
	return l
}

// more waits for calls that begin after now.
func (l *load) more(what string) {
	l.t.Helper()
	want := l.calls.Load() + 20
	eventually(l.t, what, func() bool { return l.calls.Load() > want })
}

func (l *load) stop() {
	l.end()
	<-l.done
}

// TestAgentRunsPython: a Python program without a line of configuration is listed, called from Go and calls services
// in Go, by the proxy that the agent runs beside it. The agent is killed, another one comes, v2 takes the place of v1,
// and no call fails.
func TestAgentRunsPython(t *testing.T) {
	t.Parallel()
	h, node := newAgentHost(t)
	v1, v2 := h.make("v1"), h.make("v2")
	h.order(1, map[string]artifact.Digest{"v1": v1})
	h.start()
	l := newLoad(t, node)
	defer l.stop()
	l.more("calls")
	h.kill()
	l.more("calls without an agent")
	h.order(2, map[string]artifact.Digest{"v1": v1, "v2": v2})
	h.start()
	eventually(t, "v2 is called", func() bool { return l.newest.Load() > 0 })
	h.order(3, map[string]artifact.Digest{"v2": v2})
	eventually(t, "v1 and its proxy are gone", func() bool {
		r, err := agent.Look(t.Context(), h.path("agent"))
		return err == nil && len(r.Instances) == 2 && r.Instances[0].Phase == string(shim.Stopped) &&
			r.Instances[0].Proxy == string(shim.Stopped) && r.Instances[1].Proxy == string(shim.Up)
	})
	l.more("calls of v2 alone")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", strings.TrimSpace(what))
		}
	}
}
