package artifact

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
)

// testSigner signs with a key in memory.
type testSigner struct {
	name string
	key  ed25519.PrivateKey
}

func newSigner(name string) testSigner {
	return testSigner{name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte(name[:1]), ed25519.SeedSize))}
}

func (s testSigner) public() sshsig.PublicKey {
	return sshsig.PublicKey(s.key.Public().(ed25519.PublicKey))
}

func (s testSigner) Sign(namespace string, message []byte) ([]byte, error) {
	return sshsig.Blob(s.public(), namespace, ed25519.Sign(s.key, sshsig.Signed(namespace, message)))
}

// trusting are signers that may sign in all of the namespaces.
func trusting(t *testing.T, namespaces string, all ...testSigner) *Signers {
	t.Helper()
	text := ""
	for _, s := range all {
		text += fmt.Sprintf("%s namespaces=%q %s\n", s.name, namespaces, s.public())
	}
	file := filepath.Join(t.TempDir(), "builders")
	write(t, file, text, 0o600)
	signers, err := ReadSigners(file)
	if err != nil {
		t.Fatal(err)
	}
	return signers
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// program is a directory with a small program.
func program(t *testing.T, says string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "auth"), "#!/bin/sh\necho "+says+"\n", 0o755)
	write(t, filepath.Join(dir, "web", "index.html"), "<p>"+says, 0o600)
	return dir
}

func described(version string) Manifest {
	return Manifest{Service: "auth", Version: version, Platform: "linux/amd64",
		Run: Run{Command: "./auth", Args: []string{"-port", "${port}"}, Ports: []string{"main"}, Check: "tcp"}}
}

func made(t *testing.T, s *Store, version string, by Signer) Artifact {
	t.Helper()
	a, err := s.Make(t.Context(), program(t, version), described(version), by)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestStageRunsWhatWasSigned: an artifact of a trusted builder comes out as it went in, with its modes.
func TestStageRunsWhatWasSigned(t *testing.T) {
	s, li := newStore(t), newSigner("li")
	a := made(t, s, "v1", li)
	dir := filepath.Join(t.TempDir(), "v1")
	if err := s.Stage(t.Context(), a.Digest, trusting(t, sshsig.Artifact, li), dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"auth": 0o755, "web/index.html": 0o644, "web": fs.ModeDir | 0o755} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, wanted is %v", name, info, err, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "auth")); string(text) != "#!/bin/sh\necho v1\n" {
		t.Errorf("auth is %q, %v", text, err)
	}
	err := s.Stage(t.Context(), a.Digest, trusting(t, sshsig.Artifact, li), dir)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
}

// TestStageRefuses: without a trusted signature, and with a changed blob, nothing is unpacked.
func TestStageRefuses(t *testing.T) {
	li, wang := newSigner("li"), newSigner("wang")
	for name, c := range map[string]struct {
		by      Signer
		trusted *Signers
		harm    func(*Store, Artifact)
		want    error
	}{
		"unsigned":        {nil, trusting(t, sshsig.Artifact, li), nil, ErrUntrusted},
		"a stranger":      {wang, trusting(t, sshsig.Artifact, li), nil, ErrUntrusted},
		"another purpose": {li, trusting(t, sshsig.Plan, li), nil, ErrUntrusted},
		"no builders":     {li, nil, nil, ErrUntrusted},
		"a changed file": {li, trusting(t, sshsig.Artifact, li), func(s *Store, a Artifact) {
			write(t, s.blobPath(a.Manifest.Files[0].Digest), "#!/bin/sh\necho v2\n", 0o600)
		}, ErrDamaged},
		"a changed manifest": {li, trusting(t, sshsig.Artifact, li), func(s *Store, a Artifact) {
			text, _ := a.Manifest.encode()
			write(t, s.blobPath(a.outer.Config.Digest), strings.Replace(string(text), "-port", "-evil", 1), 0o600)
		}, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			a := made(t, s, "v1", c.by)
			if c.harm != nil {
				c.harm(s, a)
			}
			dir := filepath.Join(t.TempDir(), "v1")
			if err := s.Stage(t.Context(), a.Digest, c.trusted, dir); !errors.Is(err, c.want) {
				t.Errorf("got %v, wanted is %v", err, c.want)
			}
			if left, err := os.ReadDir(filepath.Dir(dir)); len(left) > 0 || err != nil {
				t.Errorf("left behind: %q, %v", left, err)
			}
			if _, err := s.Verify(t.Context(), a.Digest, c.trusted); !errors.Is(err, c.want) {
				t.Errorf("verify: %v, wanted is %v", err, c.want)
			}
		})
	}
}

// TestMakeIsDeterministic: time, order, umask and place do not show in an artifact.
func TestMakeIsDeterministic(t *testing.T) {
	a := made(t, newStore(t), "v1", nil)
	dir := program(t, "v1")
	old := time.Unix(1e9, 0)
	if err := errors.Join(os.Chtimes(filepath.Join(dir, "auth"), old, old),
		os.Chmod(filepath.Join(dir, "auth"), 0o711), os.Chmod(filepath.Join(dir, "web"), 0o700)); err != nil {
		t.Fatal(err)
	}
	b, err := newStore(t).Make(t.Context(), dir, described("v1"), nil)
	if err != nil || a.Digest != b.Digest {
		t.Errorf("%s and %s, %v", a.Digest, b.Digest, err)
	}
}

// TestSameVersionOtherContent: the second one is refused, and the first one stays.
func TestSameVersionOtherContent(t *testing.T) {
	s := newStore(t)
	a := made(t, s, "v1", nil)
	if again := made(t, s, "v1", nil); again.Digest != a.Digest {
		t.Errorf("the same is %s, was %s", again.Digest, a.Digest)
	}
	if _, err := s.Make(t.Context(), program(t, "other"), described("v1"), nil); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
	if found, err := s.Find("auth", "v1", "linux/amd64"); err != nil || found.Digest != a.Digest {
		t.Errorf("found %v, %v", found.Digest, err)
	}
	if all, err := s.List(); len(all) != 1 || err != nil {
		t.Errorf("%d artifacts, %v", len(all), err)
	}
}

// TestGarbage: failed versions never push out a good one, and what is pinned or young stays.
func TestGarbage(t *testing.T) {
	s := newStore(t)
	now := time.Unix(2e9, 0)
	s.now = func() time.Time { return now }
	byName := map[string]Artifact{}
	for _, v := range []string{"v1", "v2", "v3", "v4", "v5", "v6", "v7"} {
		byName[v] = made(t, s, v, newSigner("li"))
	}
	ctx := t.Context()
	for _, v := range []string{"v1", "v3", "v2"} { // v2 was rolled back to
		if err := s.MarkGood(ctx, byName[v].Digest); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Pin(ctx, byName["v5"].Digest, "runs: auth/v5#1"); err != nil {
		t.Fatal(err)
	}
	rule := Garbage{Keep: 2, Age: time.Hour}
	if gone, _, err := s.GC(ctx, rule); len(gone) > 0 || err != nil {
		t.Errorf("young ones are removed: %v, %v", gone, err)
	}
	now = now.Add(2 * time.Hour)
	rule.DryRun = true
	if gone, freed, err := s.GC(ctx, rule); len(gone) != 4 || freed == 0 || err != nil {
		t.Errorf("a dry run: %d, %d bytes, %v", len(gone), freed, err)
	}
	rule.DryRun = false
	read, err := s.readIndex() // by another process, in the moment before
	if err != nil {
		t.Fatal(err)
	}
	if _, freed, err := s.GC(ctx, rule); freed == 0 || err != nil {
		t.Errorf("%d bytes, %v", freed, err)
	}
	if all, err := s.listOf(read); len(all) != 3 || err != nil {
		t.Errorf("a list that was read while GC removed: %d artifacts, %v", len(all), err)
	}
	if _, err := s.Get(byName["v4"].Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that is gone: %v", err)
	}
	if left := versions(t, s); left != "v2 v3 v5" {
		t.Errorf("left: %s", left)
	}
	for _, v := range []string{"v2", "v3", "v5"} {
		if _, err := s.Verify(ctx, byName[v].Digest, trusting(t, sshsig.Artifact, newSigner("li"))); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	if err := s.Unpin(ctx, byName["v5"].Digest, "runs: auth/v5#1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.GC(ctx, rule); err != nil || versions(t, s) != "v2 v3" {
		t.Errorf("left: %s, %v", versions(t, s), err)
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
	if want := 2*(2+1+1+1+1) + 1; err != nil || len(entries) != want { // files, 2 manifests, signature 2; {}
		t.Errorf("%d blobs, wanted are %d, %v", len(entries), want, err)
	}
}

func versions(t *testing.T, s *Store) string {
	t.Helper()
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range all {
		names = append(names, a.Manifest.Version)
	}
	return strings.Join(names, " ")
}

// TestFloor: nothing is written that would leave less than the floor, and the store stays as it was.
func TestFloor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir, Options{Floor: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Make(t.Context(), program(t, "v1"), described("v1"), nil)
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "store.floor") {
		t.Errorf("got %v", err)
	}
	if all, err := s.List(); len(all) > 0 || err != nil {
		t.Errorf("%d artifacts, %v", len(all), err)
	}
}

// TestPaths: what means different things on different systems is refused, with the reason.
func TestPaths(t *testing.T) {
	for _, good := range []string{"a", "a/b-c_d.e", "日本/é", ".hidden", "a b", "node_modules/@x/y", "console", "com10",
		"a..b", strings.Repeat("x", maxName)} {
		if err := checkPath(good); err != nil {
			t.Errorf("%v", err)
		}
	}
	for _, bad := range []string{"", "/a", "..", "../a", "a/../b", "a//b", "a/", "./a", "a/.", `a\b`, "c:x", "a:stream",
		"con", "CON.txt", "a/nul.tar.gz", "aux .x", "com1", "LPT¹.log", "a.", "a ", "b./c", "a\x00b", "a\nb",
		"a\u202eb",
		"\xff", "a*", "<a", strings.Repeat("x", maxName+1), strings.Repeat("d/", maxDepth) + "x"} {
		if err := checkPath(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for _, bad := range [][]string{{"a", "a"}, {"a", "A"}, {"a/x", "A/y"}, {"a", "a/b"}, {"a", "a-b", "a/b"},
		{"ß", "ẞ"}, {"k", "\u212a"}} {
		if err := checkPaths(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if err := checkPaths([]string{"a/b/c", "a/b/d", "a/c", "b"}); err != nil {
		t.Error(err)
	}
}

// TestRunIsChecked: a mistake in the description of how to run is found when the artifact is made.
func TestRunIsChecked(t *testing.T) {
	files := []File{{Path: "auth", Executable: true}, {Path: "data"}}
	good := described("v1").Run.withDefaults()
	for name, edit := range map[string]func(*Run){
		"":                                func(*Run) {},
		"no file":                         func(r *Run) { r.Command = "./other" },
		"not executable":                  func(r *Run) { r.Command = "./data" },
		"is missing":                      func(r *Run) { r.Command = "" },
		"variables are for":               func(r *Run) { r.Command = "/opt/${config}" },
		"an absolute path":                func(r *Run) { r.Command = "../auth" },
		"${prot}":                         func(r *Run) { r.Args = []string{"${prot}"} },
		"${port:admin}":                   func(r *Run) { r.Env = map[string]string{"P": "${port:admin}"} },
		"a } is missing":                  func(r *Run) { r.Args = []string{"${port"} },
		"zero byte":                       func(r *Run) { r.Args = []string{"a\x00"} },
		"run.env":                         func(r *Run) { r.Env = map[string]string{"A=B": ""} },
		"run.ports":                       func(r *Run) { r.Ports = []string{"main", "main"} },
		"write tcp":                       func(r *Run) { r.Check = "http:x" },
		"needs a port":                    func(r *Run) { r.Ports, r.Args = nil, nil },
		"run.protocol":                    func(r *Run) { r.Protocol = "http" },
		"a proxy forwards":                func(r *Run) { r.Proxy, r.Check = &Proxy{}, "http:/" },
		"concurrency -1":                  func(r *Run) { r.Proxy = &Proxy{Concurrency: -1} },
		"run.proxy: invalid":              func(r *Run) { r.Proxy = &Proxy{Calls: []string{"a b"}} },
		"at most 256 are":                 func(r *Run) { r.Proxy = &Proxy{Entry: make([]string, maxNames+1)} },
		"run.stop.signal":                 func(r *Run) { r.Stop.Signal = "kill" },
		"run.stop.after":                  func(r *Run) { r.Stop.After = time.Millisecond },
		fmt.Sprintf("most %d", maxArgs):   func(r *Run) { r.Args = make([]string, maxArgs+1) },
		fmt.Sprintf("%d are", maxRunText): func(r *Run) { r.Args = []string{strings.Repeat("x", maxRunText)} },
	} {
		r := good
		edit(&r)
		err := r.validate(files)
		if name == "" && err != nil || name != "" && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestExpand: variables are replaced once, and $${ stands for ${.
func TestExpand(t *testing.T) {
	r := Run{Args: []string{"-p=${port}", "$${port}", "$x ${secret:db}$"},
		Env: map[string]string{"B": "${host}", "A": ""}}
	args, env, err := r.Expand(func(name string) (string, bool) { return "${" + name + "}", true })
	if got := fmt.Sprint(args, env, err); got != "[-p=${port} ${port} $x ${secret:db}$] [A= B=${host}] <nil>" {
		t.Error(got)
	}
}

// TestProgramOfAnotherPlatform: a program that was built for another processor or system is no artifact's command.
func TestProgramOfAnotherPlatform(t *testing.T) {
	elf := func(machine byte) string {
		return "\x7fELF\x02\x01" + strings.Repeat("\x00", 12) + string([]byte{machine, 0})
	}
	pe := "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00PE\x00\x00\x64\x86"
	for _, c := range []struct {
		text, platform string
		good           bool
	}{
		{elf(62), "linux/amd64", true},
		{elf(62), "linux/arm64", false},
		{elf(62), "any", false},
		{elf(183), "linux/arm64", true},
		{elf(99), "linux/amd64", true},
		{pe, "windows/amd64", true},
		{pe, "linux/amd64", false},
		{pe, "windows/arm64", false},
		{"#!/bin/sh\n", "any", true},
	} {
		file := filepath.Join(t.TempDir(), "auth")
		write(t, file, c.text+strings.Repeat("\x00", 64), 0o755)
		m := described("v1")
		m.Platform = c.platform
		_, err := newStore(t).Make(t.Context(), file, m, nil)
		if c.good != (err == nil) || err != nil && !strings.Contains(err.Error(), "name the platform") {
			t.Errorf("%.4q for %s: %v", c.text, c.platform, err)
		}
	}
}

// TestGarbageOfKilled: what killed processes have left in ingest goes, and what a process writes now stays.
func TestGarbageOfKilled(t *testing.T) {
	s := newStore(t)
	left, busy := s.ingestPath(strings.Repeat("a", 64)+partSuffix), s.ingestPath(strings.Repeat("b", 64)+partSuffix)
	write(t, left, "half", 0o600)
	lock, err := statedir.Lock(busy)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, freed, err := s.GC(t.Context(), Garbage{Keep: 1}); freed != 4 || err != nil {
		t.Errorf("%d bytes freed, %v", freed, err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left behind is there: %v", err)
	}
	if _, err := os.Lstat(busy); err != nil {
		t.Errorf("what is being written is gone: %v", err)
	}
}

// TestStoreElsewhere: a directory with other files is not taken as a store.
func TestStoreElsewhere(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "letter.txt"), "x", 0o600)
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "letter.txt") {
		t.Errorf("got %v", err)
	}
}

// TestCanceledMake: an end in the middle leaves a store as before, and the next attempt succeeds.
func TestCanceledMake(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Make(ctx, program(t, "v1"), described("v1"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if all, err := s.List(); len(all) > 0 || err != nil {
		t.Errorf("%d artifacts, %v", len(all), err)
	}
	made(t, s, "v1", nil)
}
