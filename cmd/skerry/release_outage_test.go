package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// The database goes away during a step. The step reports it, waits, and goes on when the
// database is back.
func TestAStepWaitsForItsDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{})
	c := newCrew(t, server.URL(server.CreateDB(t)))
	c.serve("auth", "v1")
	c.step("start", "--by", "alice", "--reason", "new token format")
	c.serve("auth", "v2")

	gone := filepath.Join(t.TempDir(), "checking")
	type result struct {
		code int
		out  string
	}
	shipped := make(chan result, 1)
	go func() {
		code, out := c.try("ship", "auth", "--version", "v2",
			"--check", "touch "+gone+"; while [ -e "+gone+" ]; do sleep 0.05; done")
		shipped <- result{code, out}
	}()
	eventually(t, "the check runs", func() bool { _, err := os.Stat(gone); return err == nil })
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-shipped:
		t.Fatalf("ship did not wait for the database: exit code %d\n%s", r.code, r.out)
	case <-time.After(3 * time.Second): // real processes report no event for "still waiting"
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	r := <-shipped
	if r.code != exitOK || !strings.Contains(r.out, "waits for the database") {
		t.Errorf("ship: exit code %d\n%s", r.code, r.out)
	}
	c.step("commit")
	c.step("clean")
}
