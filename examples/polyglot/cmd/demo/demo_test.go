package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo is "make demo-languages": real programs, real time, and every promise kept.
func TestDemo(t *testing.T) {
	const root = "../../../.."
	bin := t.TempDir()
	for _, c := range []*exec.Cmd{
		exec.Command("examples/polyglot/build"),
		exec.Command("go", "build", "-o", filepath.Join(bin, "skerry"), "./cmd/skerry"),
	} {
		c.Dir = root
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
	}
	var said strings.Builder
	kept, err := run(t.Context(), root, bin, &said)
	if err != nil || !kept {
		t.Errorf("kept %v, error %v\n%s", kept, err, said.String())
	}
}
