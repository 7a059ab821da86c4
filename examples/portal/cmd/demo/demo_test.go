package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/internal/testsite"
)

// TestDemo is "make demo": real processes, real time, and every promise kept.
func TestDemo(t *testing.T) {
	bin, err := testsite.Programs(site.PortalCommands...)
	if err != nil {
		t.Fatal(err)
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
