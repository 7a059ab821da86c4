package spread

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// patience bounds what should take milliseconds.
const patience = time.Minute

var quietLog = slog.New(slog.DiscardHandler)

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

// The keys of the tests.
var operator, builder, stranger = newKey(1), newKey(2), newKey(3)

// site is a site of agents that meet on the loopback interface.
type site struct {
	t      *testing.T
	config skerry.Config
}

func newSite(t *testing.T) *site {
	return &site{t, skerry.Config{
		Cluster:  "site",
		Mode:     config.ModeBroadcast,
		LAN:      config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: lab.Port(t), Key: lab.SiteKey},
		StateDir: "none",
		Stop:     config.Stop{Grace: -1, Drain: time.Second},
	}}
}

func (s *site) open(ctx context.Context, c skerry.Config, opts ...skerry.Option) *skerry.Node {
	s.t.Helper()
	n, err := skerry.Open(ctx, c, append(opts, skerry.WithLogger(quietLog))...)
	must(s.t, err)
	s.t.Cleanup(func() { n.Close() })
	return n
}

// looker calls the agents of the site as a command does.
func (s *site) looker() *Site {
	s.t.Helper()
	look := NewSite(s.open(s.t.Context(), s.config, skerry.AsObserver()))
	s.t.Cleanup(func() { look.Close() })
	return look
}

// host is a host of a site with its agent.
type host struct {
	*site
	name  string
	dir   string
	zone  string
	rate  int64
	agent *agent.Agent
	store *artifact.Store
	stop  func()
}

// host makes a host and starts its agent.
func (s *site) host(name string, edits ...func(*host)) *host {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "spread") // a short path, for the sockets
	must(s.t, err)
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	h := &host{site: s, name: name, dir: dir, stop: func() {}}
	for _, edit := range edits {
		edit(h)
	}
	must(s.t, os.Mkdir(dir+"/a", 0o755))
	h.write("operators", operator.line("wang", plan.Namespace))
	h.write("builders", builder.line("li", sshsig.Artifact))
	h.write("agent.yaml", fmt.Sprintf("cluster: site\nhost: %s\ndir: %[2]s/a\nplan: %[2]s/plan.yaml\n"+
		"operators: %[2]s/operators\nbuilders: %[2]s/builders\nsecrets: %[2]s/secrets\n"+
		"store: {dir: %[2]s/store, floor: 1MiB}", name, dir))
	h.store, err = artifact.Open(dir+"/store", artifact.Options{})
	must(s.t, err)
	h.start()
	s.t.Cleanup(func() { h.stop() })
	return h
}

func (h *host) write(name, text string) {
	h.t.Helper()
	must(h.t, os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600))
}

// start starts the agent of the host.
func (h *host) start() {
	h.t.Helper()
	c, err := agent.ReadConfig(h.dir + "/agent.yaml")
	must(h.t, err)
	a := agent.New(c, "/bin/false")
	ctx, cancel := context.WithCancel(context.Background())
	done, began := make(chan struct{}), make(chan struct{})
	open := func(ctx context.Context) (*skerry.Node, error) {
		site := Offering(h.config, h.name)
		site.Service.Zone = h.zone
		return skerry.Open(ctx, site, skerry.WithLogger(quietLog))
	}
	go func() {
		defer close(done)
		err := a.Run(ctx, func(ctx context.Context) error {
			close(began)
			return Run(ctx, Config{Agent: a, Open: open, Rate: h.rate, Log: quietLog})
		})
		if err != nil {
			h.t.Error(err)
		}
	}()
	select {
	case <-began:
	case <-done:
	}
	h.agent = a
	h.stop = func() {
		cancel()
		<-done
		h.stop = func() {}
	}
}

// plan is a plan, signed by a key, that wants one instance of artifacts on hosts.
func (s *site) plan(number int64, by key, services map[string]artifact.Digest, hosts ...string) agent.SignedPlan {
	s.t.Helper()
	text := fmt.Sprintf("plan: %d\ncluster: site\nservices:\n", number)
	if len(services) == 0 {
		text = fmt.Sprintf("plan: %d\ncluster: site\n", number)
	}
	for name, d := range services {
		text += fmt.Sprintf("  %s:\n    run:\n      v1:\n        artifacts: {any: %q}\n        hosts: {", name, d)
		for _, h := range hosts {
			text += h + ": 1, "
		}
		text += "}\n"
	}
	return s.signed(number, by, text)
}

func (s *site) signed(number int64, by key, text string) agent.SignedPlan {
	s.t.Helper()
	blob, err := by.Sign(plan.Namespace, []byte(text))
	must(s.t, err)
	return agent.SignedPlan{Number: number, Text: []byte(text), Signature: sshsig.Armor(blob)}
}

// make makes an artifact with files of random bytes in the store of a host.
func (h *host) make(service string, by artifact.Signer, sizes ...int) artifact.Digest {
	h.t.Helper()
	from := h.t.TempDir()
	for i, size := range sizes {
		content := make([]byte, size)
		rand.Read(content)
		must(h.t, os.WriteFile(fmt.Sprintf("%s/data%d", from, i), content, 0o600))
	}
	must(h.t, os.WriteFile(from+"/run", []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700))
	a, err := h.store.Make(h.t.Context(), from, artifact.Manifest{Service: service, Version: "v1", Platform: "any",
		Run: artifact.Run{Command: "./run"}}, by)
	must(h.t, err)
	return a.Digest
}

// has reports whether the store of the host has an artifact whole.
func (h *host) has(d artifact.Digest) bool {
	builders, err := artifact.ReadSigners(h.dir + "/builders")
	must(h.t, err)
	_, err = h.store.Verify(h.t.Context(), d, builders)
	if err != nil && !errors.Is(err, artifact.ErrNotFound) {
		h.t.Fatalf("%s: %v", h.name, err)
	}
	return err == nil
}

func (h *host) number() int64 {
	now, _ := h.agent.Plan()
	return now.Number
}

func (h *host) report() agent.Report {
	r, err := agent.Look(context.Background(), h.dir+"/a")
	if err != nil {
		return agent.Report{Problem: err.Error()}
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		_, file, line, _ := runtime.Caller(2)
		t.Fatalf("%s:%d: %v", filepath.Base(file), line, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
