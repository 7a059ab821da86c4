package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/skerry/skerry/discovery"
)

// TestLookupIsWhatAConsumerCalls: lookup leaves out instances that leave, instances
// with weight 0, and versions that get no calls.
func TestLookupIsWhatAConsumerCalls(t *testing.T) {
	all := []discovery.Entry{
		{Service: "auth", Version: "v2", Addr: "10.0.0.2:1", Weight: 100},
		{Service: "auth", Version: "v1", Addr: "10.0.0.1:1", Weight: 100, Standing: "retired"},
		{Service: "auth", Version: "v2", Addr: "10.0.0.3:1", Weight: 100, State: discovery.Leaving},
		{Service: "auth", Version: "v2", Addr: "10.0.0.4:1"},
		{Service: "auth", Version: "v2", Addr: "10.0.0.1:1", Weight: 50, Tags: map[string]string{"hall": "a\nb"}},
		{Service: "mail", Version: "v2", Addr: "10.0.0.5:1", Weight: 100},
	}
	for _, c := range []struct {
		r    lookupRequest
		want string
	}{
		{lookupRequest{service: "auth", format: "{{.Addr}}"}, "10.0.0.1:1|10.0.0.2:1"},
		{lookupRequest{service: "auth", version: "v1", format: "{{.Addr}} {{.Weight}}"}, "10.0.0.1:1 100"},
		{lookupRequest{service: "auth", format: `{{index .Tags "hall"}}`}, "|a b"},
		{lookupRequest{service: "none", format: "{{.Addr}}"}, ""},
	} {
		list, err := c.r.lines(all, template.Must(template.New("").Parse(c.r.format)))
		if got := strings.Join(list, "|"); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v, want %q", c.r, got, err, c.want)
		}
	}
}

func TestLookupEndsWithOneWithoutAnInstance(t *testing.T) {
	t.Parallel()
	cfg := site(t, "")
	c, out := program(t, "lookup", "-c", cfg, "--timeout", "3s", "absent")
	for out.Scan() {
		t.Errorf("it printed %q", out.Text())
	}
	if _ = c.Wait(); c.ProcessState.ExitCode() != exitProblem {
		t.Errorf("exit code %d", c.ProcessState.ExitCode())
	}
}

// TestLookupWatchKeepsAFile: each change replaces the file and prints a line.
func TestLookupWatchKeepsAFile(t *testing.T) {
	t.Parallel()
	cfg := site(t, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(t.TempDir(), "backends")
	watch, lines := program(t, "lookup", "-c", cfg, "--watch", "--write", file, "--format", "server {{.Addr}}", "kit")
	holds := func(want string) {
		t.Helper()
		for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
			text, err := os.ReadFile(file)
			if err == nil && string(text) == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the file holds %q, %v, want %q", text, err, want)
			}
		}
	}
	holds("")
	announce, _ := program(t, "announce", "-c", cfg, "--service", "kit", "--addr", l.Addr().String(), "--check", "tcp")
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "+ server 127.0.0.1:") {
		t.Fatalf("%q", lines.Text())
	}
	line := strings.TrimPrefix(lines.Text(), "+ ")
	holds(line + "\n")
	announce.Process.Signal(syscall.SIGTERM)
	if !lines.Scan() || lines.Text() != "- "+line {
		t.Fatalf("%q", lines.Text())
	}
	holds("")
	watch.Process.Signal(syscall.SIGTERM)
	if err := watch.Wait(); err != nil {
		t.Errorf("lookup ended with %v", err)
	}
}
