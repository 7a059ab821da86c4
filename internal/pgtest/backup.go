package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Dump writes a backup of a database by pg_dump and returns its path.
func (s *Server) Dump(t testing.TB, db string) (path string) {
	t.Helper()
	path = filepath.Join(s.dir, fmt.Sprintf("%s.%d.dump", db, names.Add(1)))
	s.tool(t, "pg_dump", "--format=custom", "--file="+path, "--dbname="+s.SocketURL(db))
	return path
}

// Restore restores a backup of Dump by pg_restore, and drops the earlier content. Other programs
// may be connected. A deadlock with their statements makes it try again.
func (s *Server) Restore(t testing.TB, db, path string) {
	t.Helper()
	for try := 1; ; try++ {
		out, err := s.command("pg_restore",
			"--clean", "--if-exists", "--single-transaction", "--dbname="+s.SocketURL(db), path).
			CombinedOutput()
		if err == nil {
			return
		}
		if try == 5 || !strings.Contains(string(out), "deadlock detected") {
			t.Fatalf("pg_restore: %v: %s", err, out)
		}
	}
}

func (s *Server) tool(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// Save copies the data directory of a stopped server, and Return puts the newest copy in its place,
// as with a restored disk image.
func (s *Server) Save() error { return s.copyData(s.data(), s.data()+".saved") }

// Return is described at Save.
func (s *Server) Return() error { return s.copyData(s.data()+".saved", s.data()) }

func (s *Server) copyData(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the data directory: %w: %s", err, out)
	}
	return nil
}
