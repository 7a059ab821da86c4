package main

import (
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/testsite"
)

// TestDemo is the demo: real processes, real time, and every promise kept.
func TestDemo(t *testing.T) {
	bin, err := testsite.Programs("./examples/device/cmd/pump", "./cmd/skerry")
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	kept, err := run(t.Context(), bin, &said)
	if err != nil || !kept {
		t.Errorf("kept %v, error %v\n%s", kept, err, said.String())
	}
}
