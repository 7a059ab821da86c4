package portal_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/examples/portal/gen/dbapi"
	"github.com/skerry/skerry/examples/portal/gen/portalapi"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/testsite"
)

// bin holds the programs, built once for all tests.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = testsite.Programs(site.PortalCommands...); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestBroadcast(t *testing.T) { testPortal(t, "") }

func TestDatabase(t *testing.T) {
	server := pgtest.Own(t, pgtest.Options{})
	testPortal(t, server.URL("postgres"))
}

// testPortal runs the whole example with real processes: the Go services,
// consumers in three languages, then a provider in Python in place of DB.
func testPortal(t *testing.T, database string) {
	s, err := site.New(bin, t.TempDir(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if t.Failed() {
			logs(t, s)
		}
	})
	portalAddr := serve(t, s, "portal").Addr
	serve(t, s, "auth")
	serve(t, s, "proc")
	db := serve(t, s, "db")

	cfg, err := s.Config("consumer")
	if err != nil {
		t.Fatal(err)
	}
	node, err := skerry.OpenFile(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	ask := skerry.Stub(node, "portal", portalapi.NewPortalClient)

	const goText = "for alice: pressure 4.1 bar, valve open"
	answer := await(t, ask, goText)
	wantHops(t, answer)
	t.Run("exceptions of the IDL arrive", func(t *testing.T) { wantExceptions(t, ask) })
	t.Run("Python client", func(t *testing.T) { python(t, portalAddr, goText) })
	t.Run("Node.js client", func(t *testing.T) { nodejs(t, portalAddr, goText) })
	t.Run("Python provider", func(t *testing.T) {
		pythonProvider(t, s)
		if err := db.Stop(); err != nil {
			t.Fatal(err)
		}
		await(t, ask, goText+" (kept by Python)")
	})
}

func serve(t *testing.T, s *site.Site, service string) *site.Process {
	t.Helper()
	p, err := s.Serve(service+"-1", service, "v1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// await sends requests until the answer has the text.
func await(t *testing.T, ask func() *portalapi.PortalClient, text string) *portalapi.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		answer, err := ask().Handle(ctx, request("pump-1"))
		if err == nil && answer.Text == text {
			return answer
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("answer %v, error %v; want %q", answer, err, text)
		}
	}
}

func request(key string) *portalapi.Request {
	return &portalapi.Request{User: "alice", Secret: "open sesame", Key: key}
}

func wantHops(t *testing.T, answer *portalapi.Answer) {
	t.Helper()
	var calls []string
	for _, hop := range answer.Hops {
		calls = append(calls, hop.Callee+"."+hop.Method+" "+hop.Version)
		if hop.Instance == "" || hop.Attempts < 1 || hop.Micros < 1 {
			t.Errorf("hop %+v: want instance, attempts and time", hop)
		}
	}
	want := "auth.getToken v1, proc.process v1, auth.verify v1, db.read v1"
	if got := strings.Join(calls, ", "); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func wantExceptions(t *testing.T, ask func() *portalapi.PortalClient) {
	var missing *dbapi.NotFound
	if _, err := ask().Handle(t.Context(), request("no such record")); !errors.As(err, &missing) {
		t.Errorf("unknown record: %v, want NotFound", err)
	}
	stranger := request("pump-1")
	stranger.Secret = "guessed"
	var denied *authapi.Denied
	if _, err := ask().Handle(t.Context(), stranger); !errors.As(err, &denied) {
		t.Errorf("wrong secret: %v, want Denied", err)
	}
}

func python(t *testing.T, addr, want string) {
	for _, protocol := range []string{"framed-binary", "framed-compact", "unframed-binary", "unframed-compact"} {
		got := output(t, nil, interpreter(t, "venv/bin/python"), "python/client.py", "--addr", addr, "--protocol",
			protocol)
		if !strings.HasPrefix(got, want+"\n") || strings.Count(got, "answered by") != 4 {
			t.Errorf("%s: printed\n%s", protocol, got)
		}
	}
}

func nodejs(t *testing.T, addr, want string) {
	env := append(os.Environ(), "NODE_PATH="+interpreter(t, "node_modules"))
	got := output(t, env, "node", "node/client.js", addr)
	if !strings.HasPrefix(got, want+"\n") || strings.Count(got, "answered by") != 4 {
		t.Errorf("printed\n%s", got)
	}
}

// pythonProvider starts the DB that is written in Python, and the keeper that lists it.
func pythonProvider(t *testing.T, s *site.Site) {
	addr, err := site.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := s.Config("announce")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run("db-python", interpreter(t, "venv/bin/python"), "python/provider.py", "--listen",
		addr); err != nil {
		t.Fatal(err)
	}
	_, err = s.Run("announce", filepath.Join(bin, "skerry"), "announce", "--config", cfg, "--service", "db",
		"--version", "v1", "--addr", addr, "--protocol", "framed-binary", "--check", "thrift")
	if err != nil {
		t.Fatal(err)
	}
}

// interpreter finds a program that scripts/setup has installed.
func interpreter(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../.build", path))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: run scripts/setup", err)
	}
	return path
}

func output(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

func logs(t *testing.T, s *site.Site) {
	for _, p := range s.Processes() {
		said, err := os.ReadFile(s.LogPath(p.Name))
		t.Logf("%s (%s) said: %s %v", p.Name, p.State(), said, err)
	}
}

// TestConfigurations: the shipped configuration files of the programs are valid.
func TestConfigurations(t *testing.T) {
	files, err := filepath.Glob("cmd/*/skerry.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("found %v, %v; want four", files, err)
	}
	for _, file := range files {
		if _, err := config.Read(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
