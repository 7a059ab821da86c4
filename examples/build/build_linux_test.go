package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/site/artifact"
	skerrybuild "github.com/skerry/skerry/site/build"
)

// shelf is where the libraries of other languages lie; scripts/setup brings them.
const shelf = "../../.build"

// example is one of the services.
type example struct {
	dir    string
	supply func(t *testing.T, into string) // brings the libraries that its repository holds
}

// run runs a program in a directory.
func run(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func libraries(pattern, as string) func(*testing.T, string) {
	return func(t *testing.T, into string) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(shelf, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s is missing in .build; scripts/setup installs it", pattern)
		}
		for _, from := range found {
			if err := os.MkdirAll(filepath.Join(into, as), 0o755); err != nil {
				t.Fatal(err)
			}
			run(t, ".", nil, "cp", "-rL", from, filepath.Join(into, as))
		}
	}
}

// TestRecipes builds each service twice, in a sandbox: the same commit gives the same digest.
func TestRecipes(t *testing.T) {
	for _, e := range []example{
		{"python", libraries("venv/lib/python3*/site-packages/thrift", "libs")},
		{"cpp", nil},
		{"node", libraries("node_modules/*", "libs")},
	} {
		t.Run(e.dir, func(t *testing.T) { e.build(t) })
	}
}

func (e example) build(t *testing.T) {
	for _, v := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		t.Setenv(v, os.DevNull)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the user of the steps goes through it
		t.Fatal(err)
	}
	work, bare := filepath.Join(dir, "work"), filepath.Join(dir, "repo.git")
	run(t, ".", nil, "cp", "-r", e.dir, work)
	run(t, ".", nil, "cp", "hello.thrift", work)
	if e.supply != nil {
		e.supply(t, work)
	}
	run(t, dir, nil, "git", "init", "-q", "--bare", "-b", "main", bare)
	run(t, work, nil, "git", "init", "-q", "-b", "main")
	run(t, work, nil, "git", "add", "-A", "-f")
	run(t, work, nil, "git", "-c", "user.name=li", "-c", "user.email=li@ops-1", "commit", "-q", "-m", "hello")
	run(t, work, nil, "git", "push", "-q", bare, "main")

	c, err := skerrybuild.ReadConfig(filepath.Join(dir, "none"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Sandbox = "required"; os.Geteuid() == 0 {
		c.User = "nobody"
	}
	store, err := artifact.Open(filepath.Join(dir, "store"), artifact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := skerrybuild.New(filepath.Join(dir, "builder"), c)
	var digests []string
	for range 2 {
		r, err := b.Run(t.Context(), skerrybuild.Order{Service: "hello-" + e.dir, Repo: bare, Source: "repo.git",
			By: "li", Store: store})
		if err != nil || r.Outcome != skerrybuild.Succeeded {
			t.Fatalf("it %s: %s, %v\n%s", r.Outcome, r.Why, err, r.Log.Tail)
		}
		var all []string
		for _, one := range r.Artifacts {
			all = append(all, string(one.Digest))
		}
		digests = append(digests, strings.Join(all, " "))
	}
	if digests[0] != digests[1] {
		t.Errorf("the digests are %q", digests)
	}
}
