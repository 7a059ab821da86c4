package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/testsite"
)

// TestDemo is "make demo-languages": real programs, real time, and every promise kept.
func TestDemo(t *testing.T) {
	const root = "../../../.."
	build := exec.Command("examples/polyglot/build")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build.Args, err, out)
	}
	bin, err := testsite.Programs("./cmd/skerry")
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	kept, err := run(t.Context(), root, bin, &said)
	if err != nil || !kept {
		t.Errorf("kept %v, error %v\n%s", kept, err, said.String())
	}
}
