package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo is the demo: real processes, real time, and every promise kept.
func TestDemo(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "../pump", "../../../../cmd/skerry")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var said strings.Builder
	kept, err := run(t.Context(), bin, &said)
	if err != nil || !kept {
		t.Errorf("kept %v, error %v\n%s", kept, err, said.String())
	}
}
