package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	maxTime     = 10 * time.Minute // of one command
	maxComplain = 2 << 10          // bytes of what git complains about
	maxBranches = 1000
	maxAnswer   = 16 << 20 // bytes of a list of branches or commits
	maxName     = 500      // bytes of the name of a commit
)

// Repo is a bare repository.
type Repo struct{ dir string }

// Commit is a commit.
type Commit struct {
	ID      string // the whole hash
	Time    time.Time
	Author  string
	Subject string
}

// Branch is a branch and its last commit.
type Branch struct {
	Name string // without refs/heads/; any bytes that Git allows
	Commit
}

// Init makes an empty bare repository, also over one that is there.
func Init(ctx context.Context, dir string) (*Repo, error) {
	r := &Repo{dir}
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", "--template="},
		{"config", "receive.fsckObjects", "true"}, // objects that no git has made are refused at the push
	} {
		if _, err := r.run(ctx, nil, args...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Open checks that a directory is a bare repository.
func Open(ctx context.Context, dir string) (*Repo, error) {
	r := &Repo{dir}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%q is no directory with a repository", dir)
	}
	bare, err := r.run(ctx, nil, "rev-parse", "--is-bare-repository")
	if err != nil {
		return nil, fmt.Errorf("%q is no Git repository: %w", dir, err)
	}
	if strings.TrimSpace(string(bare)) != "true" {
		return nil, fmt.Errorf("%q is no bare repository; make one: git clone --bare", dir)
	}
	return r, nil
}

// Dir is the directory of the repository.
func (r *Repo) Dir() string { return r.dir }

// command is git in the repository, as the owner of the repository.
func (r *Repo) command(ctx context.Context, args ...string) *exec.Cmd {
	fixed := []string{"--git-dir=" + r.dir, "--no-pager", "-c", "core.hooksPath=" + os.DevNull, "-c",
		"core.fsmonitor=false", "-c", "core.alternateRefsCommand=false", "-c", "transfer.fsckObjects=true", "-c",
		"gc.auto=0", "-c", "maintenance.auto=false", "-c", "log.showSignature=false"}
	c := exec.CommandContext(ctx, "git", append(fixed, args...)...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none"}
	if system := os.Getenv("SystemRoot"); system != "" {
		c.Env = append(c.Env, "SystemRoot="+system)
	}
	c.WaitDelay = time.Second
	asOwner(c, r.dir)
	return c
}

// run returns what a command of git prints.
func (r *Repo) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	c := r.command(ctx, args...)
	c.Env = append(c.Env, env...)
	out, complaint := &bounded{most: maxAnswer}, &bounded{most: maxComplain}
	c.Stdout, c.Stderr = out, complaint
	err := c.Run()
	if err == nil && out.cut {
		err = fmt.Errorf("it prints more than %d bytes", maxAnswer)
	}
	if err != nil {
		return nil, failed(ctx, args[0], err, complaint)
	}
	return out.Bytes(), nil
}

// failed is the error of a command, with what it said.
func failed(ctx context.Context, what string, err error, complaint *bounded) error {
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("the program git is not on this host; install it")
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	said := strings.TrimSpace(strings.ToValidUTF8(complaint.String(), "�"))
	if said == "" {
		return fmt.Errorf("git %s: %w", what, err)
	}
	return fmt.Errorf("git %s: %w: %s", what, err, said)
}

// bounded keeps the first bytes that are written to it.
type bounded struct {
	bytes.Buffer
	most int
	cut  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - b.Len()
	if len(p) > room {
		b.cut = true
	}
	b.Buffer.Write(p[:min(len(p), room)])
	return len(p), nil
}

// form is how git prints a commit: fields end with a zero byte, which no field has.
const form = "%H%x00%ct%x00%an%x00%s%x00"

// Branches returns the branches, the one with the newest commit first.
func (r *Repo) Branches(ctx context.Context) ([]Branch, error) {
	text, err := r.run(ctx, nil, "for-each-ref", "--sort=-committerdate", "--count="+strconv.Itoa(maxBranches),
		"--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(authorname)%00%(subject)%00", "refs/heads")
	if err != nil {
		return nil, err
	}
	var all []Branch
	for f := range fields(text, 5) {
		all = append(all, Branch{strings.TrimPrefix(f[0], "refs/heads/"), commitOf(f[1:])})
	}
	return all, nil
}

// Head is the name of the branch that the repository says is its first one.
func (r *Repo) Head(ctx context.Context) (string, error) {
	text, err := r.run(ctx, nil, "symbolic-ref", "--quiet", "HEAD")
	return strings.TrimPrefix(strings.TrimSpace(string(text)), "refs/heads/"), err
}

// Log returns a commit and at most n-1 of those before it.
func (r *Repo) Log(ctx context.Context, id string, n int) ([]Commit, error) {
	if !isHash(id, true) {
		return nil, fmt.Errorf("%q is no hash of a commit", id)
	}
	text, err := r.run(ctx, nil, "rev-list", "--max-count="+strconv.Itoa(n), "--no-commit-header", "--format="+form,
		id, "--")
	if err != nil {
		return nil, err
	}
	var all []Commit
	for f := range fields(text, 4) {
		all = append(all, commitOf(f))
	}
	return all, nil
}

// fields yields records of n fields. Each field ends with a zero byte, and each record with a line break.
func fields(text []byte, n int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(text) > 0 {
			parts := bytes.SplitN(text, []byte{0}, n+1)
			if len(parts) <= n {
				return
			}
			record := make([]string, n)
			for i := range record {
				record[i] = string(parts[i])
			}
			text = bytes.TrimPrefix(parts[n], []byte("\n"))
			if !yield(record) {
				return
			}
		}
	}
}

func commitOf(f []string) Commit {
	at, _ := strconv.ParseInt(f[1], 10, 64)
	return Commit{f[0], time.Unix(at, 0).UTC(), f[2], f[3]}
}

// isHash reports whether a text is the hash of a commit, or its beginning.
func isHash(s string, whole bool) bool {
	return strings.Trim(s, "0123456789abcdef") == "" &&
		(len(s) == 40 || len(s) == 64 || !whole && len(s) >= 4 && len(s) < 64)
}

// Resolve finds the commit of a branch, a tag or a hash of at least four digits. "" is the first branch.
func (r *Repo) Resolve(ctx context.Context, name string) (Commit, error) {
	var tried []string
	switch {
	case name == "":
		head, err := r.Head(ctx)
		if err != nil {
			return Commit{}, err
		}
		name = head
		tried = []string{"refs/heads/" + head}
	case len(name) > maxName || strings.ContainsAny(name, "\x00\n:^~@{ "):
		return Commit{}, fmt.Errorf("%.80q is no branch, tag or hash of a commit", name)
	case isHash(name, true):
		tried = []string{name}
	default:
		tried = []string{"refs/heads/" + name, "refs/tags/" + name}
		if isHash(name, false) {
			tried = append(tried, name)
		}
	}
	for _, t := range tried {
		text, err := r.run(ctx, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", t+"^{commit}")
		if err != nil {
			if ctx.Err() != nil {
				return Commit{}, err
			}
			continue
		}
		log, err := r.Log(ctx, strings.TrimSpace(string(text)), 1)
		if err != nil {
			return Commit{}, err
		}
		if len(log) == 1 {
			return log[0], nil
		}
	}
	return Commit{}, fmt.Errorf("the repository has no branch, tag or commit %.80q%s", name, r.has(ctx))
}

// has names some branches, for an error.
func (r *Repo) has(ctx context.Context) string {
	all, err := r.Branches(ctx)
	if err != nil {
		return ""
	}
	if len(all) == 0 {
		return "; it is empty: push to it first"
	}
	var names []string
	for _, b := range all[:min(5, len(all))] {
		names = append(names, fmt.Sprintf("%.80q", b.Name))
	}
	return "; its newest branches are " + strings.Join(names, ", ")
}

// Tag returns the first tag, by name, that names a commit, or "".
func (r *Repo) Tag(ctx context.Context, id string) (string, error) {
	text, err := r.run(ctx, nil, "for-each-ref", "--count=1", "--points-at="+id, "--format=%(refname)", "refs/tags")
	return strings.TrimPrefix(strings.TrimSpace(string(text)), "refs/tags/"), err
}

// File returns a plain file of a commit. A link is none.
func (r *Repo) File(ctx context.Context, id, path string, most int) ([]byte, error) {
	text, err := r.run(ctx, nil, "ls-tree", "-z", "--full-tree", id, "--", path)
	if err != nil {
		return nil, err
	}
	e, err := parseEntry(bytes.TrimSuffix(text, []byte{0}))
	if len(text) == 0 || err == nil && e.path != path {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	if e.mode != modeFile && e.mode != modeProgram {
		return nil, fmt.Errorf("%q is no plain file in the commit (mode %s)", path, e.mode)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := r.command(ctx, "cat-file", "blob", e.object)
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(out, int64(most)+1))
	if err == nil && len(content) > most {
		cancel()
		err = fmt.Errorf("%q has more than %d bytes", path, most)
	}
	if ended := c.Wait(); err == nil {
		err = ended
	}
	return content, err
}

// Fetch takes the branches and tags of another repository or of a file of git bundle. A branch that would go back is
// refused.
func (r *Repo) Fetch(ctx context.Context, source string) error {
	if strings.HasPrefix(source, "-") || source == "" {
		return fmt.Errorf("%q is no repository", source)
	}
	env := []string{"GIT_ALLOW_PROTOCOL=ssh"}
	if filepath.IsAbs(source) {
		env[0] = "GIT_ALLOW_PROTOCOL=file"
	} else {
		for _, name := range []string{"HOME", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND"} {
			if v := os.Getenv(name); v != "" {
				env = append(env, name+"="+v)
			}
		}
	}
	_, err := r.run(ctx, env, "fetch", "--quiet", "--no-write-fetch-head", "--no-recurse-submodules", "--",
		source, "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*")
	return err
}
