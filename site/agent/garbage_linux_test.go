package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
)

// stored are the versions of auth in the store.
func (h *host) stored() (versions []string) {
	all, err := h.store.List()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, a := range all {
		versions = append(versions, a.Manifest.Version)
	}
	slices.Sort(versions)
	return versions
}

// unpacked are the directories of unpacked artifacts.
func (h *host) unpacked() int {
	entries, err := os.ReadDir(filepath.Join(h.config.Dir, "artifacts"))
	if err != nil {
		h.t.Fatal(err)
	}
	return len(entries)
}

// age makes every artifact of the store look old.
func (h *host) age() {
	h.t.Helper()
	path := filepath.Join(h.store.Dir(), "index.json")
	text, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	old := regexp.MustCompile(`"1[78]\d{8}"`).ReplaceAllString(string(text), `"1600000000"`)
	if old == string(text) {
		h.t.Fatal("the store notes no times")
	}
	h.write(path, old)
}

// TestDiskDoesNotGrow: seven versions come and go. The last good ones, what runs, what the plan names and what a person
// has pinned stay in the store. Versions that failed push out no good one. Of the unpacked ones stay those that run.
func TestDiskDoesNotGrow(t *testing.T) {
	h := newHost(t)
	h.stop()
	h.config.Keep, h.hurries = 2, true
	d := map[string]artifact.Digest{}
	for i := 1; i <= 7; i++ {
		v := fmt.Sprintf("v%d", i)
		d[v] = h.make(v, fmt.Sprintf("exec sleep %d", 1000+i), h.builder)
	}
	ctx := context.Background()
	for _, good := range []string{"v2", "v3", "v4"} { // v5 and v6 failed
		if err := h.store.MarkGood(ctx, d[good]); err != nil {
			t.Fatal(err)
		}
	}
	for v, reason := range map[string]string{"v1": "mission 7", "v5": "instance auth/v5#1", "v6": planPin} {
		if err := h.store.Pin(ctx, d[v], reason); err != nil { // those of the agent before it was killed are stale
			t.Fatal(err)
		}
	}
	h.age()
	h.order(1, h.operator, "x", map[string]artifact.Digest{"v6": d["v6"]})
	h.start()
	h.until("v6 is up", func(r Report) bool { return isUp(r, "auth/v6#1") })
	h.order(2, h.operator, "x", map[string]artifact.Digest{"v7": d["v7"]})
	r := h.until("v7 is up alone", func(r Report) bool {
		return isUp(r, "auth/v7#1") && r.Instances[0].Phase == string(shim.Stopped)
	})
	h.until("the store has what is kept", func(Report) bool {
		return fmt.Sprint(h.stored()) == "[v1 v3 v4 v7]" && h.unpacked() == 1
	})
	if now := h.report(); pidOf(now, "auth/v7#1") != pidOf(r, "auth/v7#1") || now.Problem != "" {
		t.Errorf("%+v", now)
	}
	if found, err := h.store.Get(d["v7"]); err != nil || fmt.Sprint(found.Pins) != "[instance auth/v7#1 plan]" {
		t.Errorf("pins of v7: %v, %v", found.Pins, err)
	}
}

// TestOldLogsGo: of many instances that have ended the newest keep their logs.
func TestOldLogsGo(t *testing.T) {
	h := newHost(t)
	h.stop()
	h.hurries = true
	const extra = 3
	for i := range maxEnded + extra {
		r := record{Hash: "x"}
		r.Service, r.Version, r.N = "old", fmt.Sprintf("v%d", i), 1
		dir := filepath.Join(h.config.Dir, "instances", dirName(r.Instance))
		state := fmt.Sprintf(`{"v":1,"token":"%s","phase":"stopped","since":"2026-01-%02dT00:00:00Z"}`,
			strings.Repeat("a", 26), i+1)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		h.write(dir+"/instance.json", fmt.Sprintf(`{"Service":"old","Version":%q,"N":1,"hash":"x"}`, r.Version))
		h.write(dir+"/state.json", state)
	}
	h.order(1, h.operator, "x", nil)
	h.start()
	r := h.until("the oldest are gone", func(r Report) bool { return len(r.Instances) == maxEnded })
	for _, i := range r.Instances {
		if i.Since.Day() <= extra {
			t.Errorf("%s has stayed, of %v", i.Name, i.Since)
		}
	}
}
