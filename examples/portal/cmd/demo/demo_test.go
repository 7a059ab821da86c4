package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDemo is "make demo": real processes, real time, and every promise kept.
func TestDemo(t *testing.T) {
	bin := t.TempDir() + string(filepath.Separator)
	build := exec.Command("go", "build", "-o", bin, "../portal", "../auth", "../proc", "../db",
		"../../../../cmd/skerry")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	kept, err := run(t.Context(), bin, log)
	if said, _ := os.ReadFile(log.Name()); err != nil || !kept {
		t.Errorf("kept %v, error %v\n%s", kept, err, said)
	}
}
