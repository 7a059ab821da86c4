package gitrepo

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// bench is a bare repository, and a clone in which commits are made.
type bench struct {
	t    *testing.T
	repo *Repo
	work string
}

func newBench(t *testing.T) bench {
	t.Helper()
	for _, v := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		t.Setenv(v, os.DevNull)
	}
	for _, role := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+role+"_NAME", "li")
		t.Setenv("GIT_"+role+"_EMAIL", "li@ops-1")
		t.Setenv("GIT_"+role+"_DATE", "2026-03-01T10:00:00Z")
	}
	dir := t.TempDir()
	repo, err := Init(t.Context(), filepath.Join(dir, "auth.git"))
	if err != nil {
		t.Fatal(err)
	}
	b := bench{t, repo, filepath.Join(dir, "work")}
	b.git("", "init", "-q", "-b", "main", b.work)
	return b
}

// git runs the stock git with an input, in the clone if it is there.
func (b bench) git(in string, args ...string) string {
	b.t.Helper()
	c := exec.CommandContext(b.t.Context(), "git", args...)
	c.Stdin = strings.NewReader(in)
	if _, err := os.Stat(b.work); err == nil {
		c.Dir = b.work
	}
	out, err := c.CombinedOutput()
	if err != nil {
		b.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (b bench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// push commits everything and pushes it to a branch.
func (b bench) push(branch string) string {
	b.t.Helper()
	b.git("", "add", "-A")
	b.git("", "commit", "-q", "--allow-empty", "-m", "for "+branch)
	b.git("", "push", "-q", b.repo.Dir(), "HEAD:refs/heads/"+branch)
	return b.git("", "rev-parse", "HEAD")
}

// checkout writes a commit to a new directory.
func (b bench) checkout(id string) (string, []string, error) {
	b.t.Helper()
	dir := b.t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	defer root.Close()
	var notes []string
	at := time.Unix(1_700_000_000, 0)
	return dir, notes, b.repo.Write(b.t.Context(), id, Checkout{To: root, Time: at, Note: func(s string) {
		notes = append(notes, s)
	}})
}

// bare runs git in the bare repository.
func (b bench) bare(in []byte, args ...string) string {
	b.t.Helper()
	c := exec.CommandContext(b.t.Context(), "git", append([]string{"--git-dir=" + b.repo.Dir()}, args...)...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.CombinedOutput()
	if err != nil {
		b.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestCheckoutIsWhatWasCommitted: bytes, modes, times and links are those of the commit, whatever attributes say.
func TestCheckoutIsWhatWasCommitted(t *testing.T) {
	b := newBench(t)
	b.write("a/lines.txt", "one\ntwo\n")
	b.write("b.sh", "#!/bin/sh\n")
	b.write(".gitattributes", "*.txt eol=crlf filter=evil export-subst ident\nb.sh export-ignore\n")
	if err := os.Chmod(filepath.Join(b.work, "b.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(b.work, "out")); err != nil {
		t.Fatal(err)
	}
	id := b.push("main")
	mark := filepath.Join(t.TempDir(), "executed")
	for _, kv := range [][2]string{{"filter.evil.smudge", "touch " + mark}, {"filter.evil.process", "touch " + mark},
		{"core.fsmonitor", "touch " + mark}, {"core.alternateRefsCommand", "touch " + mark}, {"gpg.program", mark},
		{"log.showSignature", "true"}, {"core.pager", "touch " + mark}} {
		b.bare(nil, "config", kv[0], kv[1])
	}
	for _, hook := range []string{"post-checkout", "reference-transaction", "post-index-change"} {
		path := filepath.Join(b.repo.Dir(), "hooks", hook)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte("#!/bin/sh\ntouch "+mark+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir, _, err := b.checkout(id)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "a/lines.txt")); string(text) != "one\ntwo\n" || err != nil {
		t.Errorf("lines.txt is %q, %v", text, err)
	}
	info, err := os.Stat(filepath.Join(dir, "b.sh"))
	if err != nil || info.Mode().Perm() != 0o755 || info.ModTime().Unix() != 1_700_000_000 {
		t.Errorf("b.sh: %v, %v", info, err)
	}
	if target, err := os.Readlink(filepath.Join(dir, "out")); target != "/etc/passwd" || err != nil {
		t.Errorf("out leads to %q, %v", target, err)
	}
	if log, err := b.repo.Log(t.Context(), id, 5); err != nil || len(log) != 1 || log[0].Subject != "for main" ||
		log[0].Author != "li" {
		t.Errorf("log: %+v, %v", log, err)
	}
	if _, err := b.repo.File(t.Context(), id, "out", 100); err == nil || !strings.Contains(err.Error(), "no plain") {
		t.Errorf("a link was read as a file: %v", err)
	}
	if _, err := b.repo.File(t.Context(), id, "a/lines.txt", 3); err == nil ||
		!strings.Contains(err.Error(), "more than 3 bytes") {
		t.Errorf("a large file was read: %v", err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a command of the repository was executed")
	}
}

// tree writes a tree object that no git would make, and a commit with it.
func (b bench) tree(mode, name, object string) string {
	b.t.Helper()
	raw, err := hex.DecodeString(object)
	if err != nil {
		b.t.Fatal(err)
	}
	text := append([]byte(mode+" "+name+"\x00"), raw...)
	tree := b.bare(text, "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
	return b.bare([]byte("x"), "commit-tree", tree)
}

// TestHostileTrees: names that lead out of a checkout, links in the place of directories, and trees that unfold to
// billions of files are refused.
func TestHostileTrees(t *testing.T) {
	b := newBench(t)
	blob := b.bare([]byte("hello"), "hash-object", "-w", "--stdin")
	inner := b.bare([]byte("100644 blob "+blob+"\tx\n"), "mktree")
	cases := map[string]string{
		"..":                b.tree("100644", "..", blob),
		"absolute":          b.tree("100644", "/tmp/x", blob),
		"through":           b.tree("100644", "../../x", blob),
		".git":              b.tree("40000", ".GiT", inner),
		"too long a name":   b.tree("100644", strings.Repeat("x", 5000), blob),
		"an object missing": b.tree("100644", "x", strings.Repeat("1", 40)),
		"a tree as a file":  b.tree("100644", "x", inner),
	}
	link := b.bare([]byte("/tmp"), "hash-object", "-w", "--stdin")
	raw := func(id string) string { out, _ := hex.DecodeString(id); return string(out) }
	both := b.bare([]byte("120000 d\x00"+raw(link)+"40000 d\x00"+raw(inner)), "hash-object", "-t", "tree", "-w",
		"--literally", "--stdin")
	cases["a link and a directory of one name"] = b.bare([]byte("x"), "commit-tree", both)
	bomb := inner
	for range 10 {
		var list strings.Builder
		for i := range 10 {
			list.WriteString("040000 tree " + bomb + "\t" + string(rune('a'+i)) + "\n")
		}
		bomb = b.bare([]byte(list.String()), "mktree")
	}
	cases["a bomb"] = b.bare([]byte("x"), "commit-tree", bomb)
	for name, id := range cases {
		dir, _, err := b.checkout(id)
		if err == nil {
			t.Errorf("%s: it was written to %s", name, dir)
		}
	}
	// A submodule is an empty directory: nothing is fetched.
	dir, _, err := b.checkout(b.tree("160000", "sub", strings.Repeat("2", 40)))
	if list, read := os.ReadDir(filepath.Join(dir, "sub")); err != nil || read != nil || len(list) != 0 {
		t.Errorf("submodule: %v, %v, %v", list, read, err)
	}
	if runtime.GOOS == "linux" { // any byte is taken that the system takes
		dir, _, err := b.checkout(b.tree("100644", "a\n\x1b[31m\xff b", blob))
		if text, read := os.ReadFile(filepath.Join(dir, "a\n\x1b[31m\xff b")); err != nil || string(text) != "hello" {
			t.Errorf("odd bytes: %q, %v, %v", text, read, err)
		}
	}
}

// TestNamesOfCommits: branches, tags and hashes are found, and nothing that looks like an option or an expression.
func TestNamesOfCommits(t *testing.T) {
	b := newBench(t)
	if _, err := b.repo.Resolve(t.Context(), "main"); err == nil || !strings.Contains(err.Error(), "it is empty") {
		t.Errorf("an empty repository: %v", err)
	}
	first := b.push("main")
	odd := "f$(touch,x)'\"\xff\xe4"
	second := b.push(odd)
	b.push("-n")
	b.bare(nil, "tag", "v15", first)
	b.bare(nil, "tag", "main2", second)
	for name, id := range map[string]string{"": first, "main": first, first: first, first[:8]: first, "v15": first,
		odd: second, "main2": second} {
		if c, err := b.repo.Resolve(t.Context(), name); c.ID != id || err != nil {
			t.Errorf("%q: %q, %v", name, c.ID, err)
		}
	}
	mark := filepath.Join(t.TempDir(), "x")
	for _, name := range []string{"--upload-pack=touch " + mark, "-h", "--all", "main~1", "main^{tree}", "main:x",
		"main@{1}", "a\x00b", "a\nb", "zz", strings.Repeat("a", 600), "../../x", strings.Repeat("1", 40)} {
		if c, err := b.repo.Resolve(t.Context(), name); err == nil {
			t.Errorf("%q is the commit %s", name, c.ID)
		}
		if err := b.repo.Fetch(t.Context(), name); err == nil {
			t.Errorf("%q was fetched", name)
		}
	}
	for _, source := range []string{"ext::touch " + mark, "file://" + b.work, "https://host/x"} {
		if err := b.repo.Fetch(t.Context(), source); err == nil {
			t.Errorf("%q was fetched", source)
		}
	}
	all, err := b.repo.Branches(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("branches: %v, %v", all, err)
	}
	names := []string{all[0].Name, all[1].Name, all[2].Name}
	if !strings.Contains(strings.Join(names, "|"), odd) {
		t.Errorf("branches: %q", names)
	}
	if tag, err := b.repo.Tag(t.Context(), first); tag != "v15" || err != nil {
		t.Errorf("tag: %q, %v", tag, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a name was executed")
	}
}

// TestNoRepositories: what is no bare repository is said to be none.
func TestNoRepositories(t *testing.T) {
	b := newBench(t)
	b.push("main")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{t.TempDir(), file, filepath.Join(b.work, ".git"), "/nowhere", ""} {
		if _, err := Open(t.Context(), dir); err == nil {
			t.Errorf("%q is a repository", dir)
		}
	}
	if _, err := Open(t.Context(), b.repo.Dir()); err != nil {
		t.Error(err)
	}
}

// TestBundle: a file of git bundle is taken; one that goes back, is cut or damaged is not.
func TestBundle(t *testing.T) {
	b := newBench(t)
	first := b.push("main")
	old := filepath.Join(t.TempDir(), "old.bundle")
	b.git("", "bundle", "create", "-q", old, "main")
	b.write("x", "more")
	second := b.push("main")
	stick := filepath.Join(t.TempDir(), "new.bundle")
	b.git("", "bundle", "create", "-q", stick, "main")
	to, err := Init(t.Context(), filepath.Join(t.TempDir(), "mirror.git"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		from, is string
		fails    bool
	}{{old, first, false}, {stick, second, false}, {stick, second, false}, {old, second, true}} {
		if err := to.Fetch(t.Context(), step.from); (err != nil) != step.fails {
			t.Errorf("fetch %s: %v", step.from, err)
		}
		if c, err := to.Resolve(t.Context(), "main"); c.ID != step.is || err != nil {
			t.Errorf("after %s: %s, %v", step.from, c.ID, err)
		}
	}
	text, err := os.ReadFile(stick)
	if err != nil {
		t.Fatal(err)
	}
	for i, bad := range [][]byte{text[:len(text)-30], []byte("hello"), nil} {
		path := filepath.Join(t.TempDir(), "bad.bundle")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		empty, err := Init(t.Context(), filepath.Join(t.TempDir(), "empty.git"))
		if err != nil {
			t.Fatal(err)
		}
		if err := empty.Fetch(t.Context(), path); err == nil {
			t.Errorf("damaged bundle %d was taken", i)
		}
	}
}

// FuzzEntries: whatever git prints of a tree, no name leads out of a checkout.
func FuzzEntries(f *testing.F) {
	id := strings.Repeat("a", 40)
	f.Add([]byte("100644 blob " + id + "       5\tx/y\x00120000 blob " + id + " 3\tl\x00"))
	f.Add([]byte("160000 commit " + id + "       -\tsub\x00100644 blob " + id + " 1\t../x\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := readEntries(bytes.NewReader(text))
		for _, e := range all {
			if err == nil && (!filepath.IsLocal(e.path) || strings.Contains(strings.ToLower(e.path)+"/", ".git/") &&
				checkPath(e.path) != nil) {
				t.Errorf("%q is taken", e.path)
			}
		}
	})
}
