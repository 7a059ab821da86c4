package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// lines is a log that a test reads while a process writes it.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestCommandsBeforeTheirKey: mode is auto, and the key is in the database. A running
// service takes no packet of commands and new services for another key's. So it logs no
// warning, and doctor names no host with another key.
func TestCommandsBeforeTheirKey(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	server := pgtest.Shared(t)
	path := writeConfig(t, fmt.Sprintf("cluster: test-site\nmode: auto\ndatabase: {url: %q}\n"+
		"lan: {interfaces: [lo], port: %d}\n", server.URL(server.CreateDB(t)), lab.Port(t)))
	c, err := config.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Service = config.Service{Name: "clock", Version: "v3", Listen: "127.0.0.1:0"}
	c.StateDir = "none"
	log := &lines{}
	n, err := skerry.Open(t.Context(), c, skerry.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.Handle(t.Context(), "clock", newClock()); err != nil {
		t.Fatal(err)
	}
	listed := func(line ...string) (l listing) {
		t.Helper()
		code, out, errs := cli(t, "", append(line, "-c", path, "--json")...)
		if err := json.Unmarshal([]byte(out), &l); err != nil || code != exitOK || len(l.Instances) == 0 {
			t.Errorf("%v: exit code %d, %v\n%s%s", line, code, err, out, errs)
		}
		return l
	}
	eventually(t, "clock is listed by both", func() bool {
		for _, s := range listed("ls", "clock").Sources {
			if !s.Answered {
				return false
			}
		}
		return true
	})
	for range 3 {
		listed("ls", "clock")
	}
	offerClock(t, path)

	code, out, errs := cli(t, "", "stats", "--refused", "-c", path, "--json")
	var refused struct {
		Processes []struct{ Refused map[string]int64 }
	}
	if err := json.Unmarshal([]byte(out), &refused); err != nil || code != exitOK || len(refused.Processes) != 2 {
		t.Fatalf("stats --refused: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	for _, p := range refused.Processes {
		if p.Refused["lan_wrong_key"] != 0 {
			t.Errorf("packets of commands count as another key's:\n%s", out)
		}
	}
	for _, word := range []string{"wrong key", "skerry key set", "forges"} {
		if strings.Contains(log.String(), word) {
			t.Errorf("the service warns:\n%s", log)
		}
	}
	code, out, errs = cli(t, "", "doctor", "-c", path)
	if strings.Contains(out, "another site key") || strings.Contains(out, "another key") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
}
