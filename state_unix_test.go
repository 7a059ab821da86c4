//go:build unix

package skerry

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/registry/registrytest"
)

// said opens a node that serves, and returns its log.
func said(t *testing.T, dir string) (n *Node, log string) {
	t.Helper()
	var out bytes.Buffer
	site := memorySite(&registrytest.MemoryStore{})
	n = open(t, Config{StateDir: dir, Cluster: "test"}, site,
		func(o *options) { o.logger = slog.New(slog.NewTextHandler(&out, nil)) })
	must(t, "learn", n.Rollout().Learn(rollout.Entry{Cluster: "test", Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"auth": {Version: "v1"}}}))
	must(t, "close", n.Close())
	return n, out.String()
}

// TestRulesOfBefore: the rules file of commit 09c6cb7 (scripts/record-before) is renamed, and one
// log line names its format.
func TestRulesOfBefore(t *testing.T) {
	dir := t.TempDir()
	must(t, "chmod", os.Chmod(dir, 0o700))
	must(t, "mkdir", os.Mkdir(filepath.Join(dir, "test"), 0o700))
	text, err := os.ReadFile("testdata/rules-before-0.2.json")
	must(t, "read", err)
	file := filepath.Join(dir, "test", "skerry.test.rules.json")
	must(t, "write", os.WriteFile(file, text, 0o600))
	_, log := said(t, dir)
	aside, err := os.ReadFile(file + ".aside")
	if err != nil || !bytes.Equal(aside, text) || strings.Count(log, "is of skerry before 0.2") != 1 {
		t.Errorf("%v; put aside is %q; log:\n%s", err, aside, log)
	}
}

// The log names a directory in which another user may have planted a file, with the command that
// corrects it. The node runs without state.
func TestUnsafeStateIsNotUsed(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "precious")
	must(t, "file", os.WriteFile(secret, []byte("{}"), 0o600))
	rules := `{"entries":[{"generation":7,"rules":{"auth":{"version":"evil"}}}]}`
	for what, plant := range map[string]func(dir string) string{
		"every user may write": func(dir string) string {
			must(t, "chmod", syscall.Chmod(dir, 0o777))
			return "chmod go-w " + dir
		},
		"below it every user may write": func(dir string) string {
			dir = filepath.Join(dir, "test")
			must(t, "mkdir", os.Mkdir(dir, 0o700))
			must(t, "chmod", syscall.Chmod(dir, 0o1777))
			return "chmod go-w " + dir
		},
		"a link for a lock": func(dir string) string {
			must(t, "mkdir", os.Mkdir(filepath.Join(dir, "test"), 0o700))
			must(t, "link", os.Symlink(secret, filepath.Join(dir, "test", "skerry.test.lock")))
			return "symbolic link"
		},
	} {
		dir := t.TempDir()
		must(t, "chmod", os.Chmod(dir, 0o700))
		want := plant(dir)
		n, log := said(t, dir)
		if n.files.Path(state.Rules) != "" || !strings.Contains(log, "state is not kept") ||
			!strings.Contains(log, "level=ERROR") {
			t.Errorf("%s: file %q, log %s", what, n.files.Path(state.Rules), log)
		}
		if want != "symbolic link" && !strings.Contains(log, want) {
			t.Errorf("%s: want %q in %s", what, want, log)
		}
	}
	// a planted file in a safe directory is skipped, and its target stays
	dir := t.TempDir()
	must(t, "chmod", os.Chmod(dir, 0o700))
	must(t, "mkdir", os.Mkdir(filepath.Join(dir, "test"), 0o700))
	must(t, "rules", os.WriteFile(filepath.Join(dir, "rules"), []byte(rules), 0o600))
	must(t, "link", os.Symlink("../rules", filepath.Join(dir, "test", "skerry.test.rules.json")))
	n, log := said(t, dir)
	if rule, _ := n.Rollout().Log().Rule("auth"); rule.Version == "evil" || !strings.Contains(log, "learnt again") {
		t.Errorf("planted rules: %v, log %s", rule, log)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "rules")); err != nil || string(text) != rules {
		t.Errorf("the target: %s, %v", text, err)
	}
}

// A process without HOME and STATE_DIRECTORY has no directory of its own. It keeps nothing, logs
// that, and uses no shared directory.
func TestNoStateInSharedDirectory(t *testing.T) {
	shared := t.TempDir()
	for name, value := range map[string]string{"HOME": "", "XDG_CACHE_HOME": "", "STATE_DIRECTORY": "",
		"TMPDIR": shared} {
		t.Setenv(name, value)
	}
	if dir := (Config{}).WithDefaults().StateDir; dir != "" {
		t.Errorf("state in %s", dir)
	}
	n, log := said(t, "")
	if n.files.Path(state.Rules) != "" || !strings.Contains(log, "state_dir") || !strings.Contains(log, "level=ERROR") {
		t.Errorf("file %q, log %s", n.files.Path(state.Rules), log)
	}
	if left, err := os.ReadDir(shared); err != nil || len(left) != 0 {
		t.Errorf("in the shared directory: %v, %v", left, err)
	}
	t.Setenv("STATE_DIRECTORY", filepath.Join(t.TempDir(), "a")+":/other")
	n, log = said(t, "")
	if n.files.Path(state.Rules) == "" {
		t.Errorf("with STATE_DIRECTORY: %s", log)
	}
	info, err := os.Stat(filepath.Dir(n.files.Path(state.Rules)))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("made with %v, %v", info.Mode(), err)
	}
}

// Log lines can't be forged, in either format.
func TestLogsAreQuoted(t *testing.T) {
	real := os.Stderr
	defer func() { os.Stderr = real }()
	for _, format := range []string{"text", "json"} {
		r, w, err := os.Pipe()
		must(t, "pipe", err)
		os.Stderr = w
		const bad = "x\x1b[2J\r\nlevel=ERROR\u202e\u009b\x7f\u200b\xff"
		config.Log{Format: format, Level: "info"}.Logger().Info("a process says", "host", bad, bad, "y", "group",
			slog.GroupValue(slog.String(bad, bad)))
		w.Close()
		out, err := io.ReadAll(r)
		must(t, "read", err)
		text := strings.TrimSuffix(string(out), "\n")
		for _, c := range text {
			if c < 0x20 || c >= 0x7f && c < 0xa0 || c == 0x202e || c == 0x200b {
				t.Errorf("%s: %U in %q", format, c, text)
			}
		}
		if format == "json" && !json.Valid(out) {
			t.Errorf("no JSON: %s", out)
		}
	}
}

// A process of a new slot begins with the rules of its neighbours, but not with their promises.
// Close frees the slot.
func TestNeighboursStateIsBorrowed(t *testing.T) {
	site := lanSite(t)
	first := open(t, site)
	entry := rollout.Entry{Cluster: site.Cluster, Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"auth": {Version: "v1"}}}
	must(t, "learn", first.Rollout().Learn(proven(t, first, entry)))
	next := first.Rollout().Log().Next("r2", nil)
	proof, err := first.trust.SiteSigner().Sign(rollout.ForPromise, next.PromiseText("ann"))
	must(t, "sign", err)
	must(t, "promise", first.Rollout().Promise(next, rollout.Undertaking{Command: "ann", Proof: proof}))
	must(t, "lists", os.WriteFile(first.files.Path(state.Lists), []byte(`{"cluster":"test"}`), 0o644))

	second := open(t, site)
	if g := second.Rollout().Log().Last(); g != entry.Generation || second.Rollout().Promised() != nil {
		t.Errorf("the second begins with %v and the promise %v", g, second.Rollout().Promised())
	}
	if _, err := os.Stat(second.files.Path(state.Lists)); err != nil ||
		second.files.Path(state.Lists) == first.files.Path(state.Lists) {
		t.Errorf("lists of the second: %v", err)
	}
	if theirs := second.files.NeighbourRules(); theirs != first.files.Path(state.Rules) {
		t.Errorf("the newest rules are in %s", theirs)
	}
	must(t, "close", first.Close())
	third := open(t, site)
	if third.files.Path(state.Rules) != first.files.Path(state.Rules) || third.Rollout().Promised() == nil {
		t.Errorf("the third has %s with the promise %v", third.files.Path(state.Rules), third.Rollout().Promised())
	}
}
