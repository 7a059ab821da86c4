package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/lab"
)

// TestKeyShowOnATerminal gives the command a terminal as its output.
func TestKeyShowOnATerminal(t *testing.T) {
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	config := writeConfig(t, "lan: {key: "+lab.SiteKey+"}\n")
	for yes, want := range map[string]int{"--yes=false": exitUsage, "--yes": exitOK} {
		var errs bytes.Buffer
		code := execute(t.Context(), []string{"key", "show", "-c", config, yes}, strings.NewReader(""), screen, &errs)
		if code != want || code == exitUsage &&
			!strings.Contains(errs.String(), "skerry key show | ssh HOST skerry key set, or say --yes") {
			t.Errorf("key show %s on a terminal: exit code %d, want %d\n%s", yes, code, want, errs.String())
		}
	}
}
