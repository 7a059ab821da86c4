package build

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/gitrepo"
)

const (
	bubblewrap = "bubblewrap"
	systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	// Where a sandbox shows the directories of the run: the same for each, as tools write paths into what they make.
	boxTmp      = "/tmp"
	boxCheckout = "/tmp/build"
	boxHome     = "/tmp/home"
)

// hidden are directories that a sandbox hides: what is in them is no matter of a build.
func (r *run) hidden() (all []string) {
	list := []string{"/root", "/home", "/run", "/var/tmp", "/mnt", "/media", "/etc/skerry", "/var/lib/skerry",
		os.Getenv("HOME"), r.dir, r.order.Repo, r.order.Store.Dir()}
	for _, dir := range list {
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil || dir == "/" || !filepath.IsAbs(dir) || within(dir, boxTmp) || slices.Contains(all, dir) {
			continue // /tmp is replaced as a whole
		}
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			all = append(all, dir)
		}
	}
	slices.Sort(all) // what is above comes first
	return all
}

// within reports whether a path is a directory or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// sandbox finds out whether steps can run in one, and says in the result what holds.
func (r *run) sandbox(ctx context.Context) (string, error) {
	why := ""
	if _, err := exec.LookPath("bwrap"); err != nil {
		why = "bubblewrap is not on this host"
	} else if said, err := r.probe(ctx); err != nil {
		why = fmt.Sprintf("bubblewrap makes no sandbox here: %v %.200s", err, said)
	}
	if why == "" {
		return bubblewrap, nil
	}
	if r.config.Sandbox == required {
		return "", refuse("builder.yaml requires a sandbox, and %s", why)
	}
	r.log.printf("not sandboxed: %s\n", why)
	return "none: " + why, nil
}

// probe runs nothing in a sandbox.
func (r *run) probe(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "bwrap", append(r.walls(), "--", "/bin/sh", "-c", ":")...)
	c.Env, c.Dir, c.WaitDelay = []string{"PATH=" + systemPath}, "/", time.Second
	r.user.run(c)
	said, err := c.CombinedOutput()
	return string(bytes.ToValidUTF8(bytes.TrimSpace(said), []byte("?"))), err
}

// walls are the options of bwrap, with those that show the directories of the run.
func (r *run) walls(show ...string) []string {
	args := []string{"--unshare-all", "--die-with-parent", "--new-session", "--hostname", "build", "--ro-bind", "/",
		"/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", boxTmp}
	for _, dir := range r.hidden() {
		if !within(dir, "/dev") {
			args = append(args, "--tmpfs", dir)
		}
	}
	args = append(args, show...)
	for _, path := range r.config.Read { // after what may be above it
		args = append(args, "--ro-bind-try", path, path)
	}
	return args
}

// argv is the command of a step, with the directory in which it is started.
func (r *run) argv(step string) (argv []string, dir string) {
	shell := []string{"/bin/sh", "-e", "-c", step}
	if r.result.Sandbox != bubblewrap {
		return shell, filepath.Join(r.work, "checkout")
	}
	argv = append([]string{"bwrap"}, r.walls("--bind", filepath.Join(r.work, "tmp"), boxTmp, "--bind",
		filepath.Join(r.work, "checkout"), boxCheckout, "--bind", filepath.Join(r.work, "home"), boxHome)...)
	argv = append(argv, "--chdir", boxCheckout, "--")
	return append(argv, shell...), "/"
}

// path is where steps find programs.
func (r *run) path() string {
	if p := r.config.Env["PATH"]; p != "" {
		return p
	}
	return systemPath
}

// env is the environment of steps. Nothing of the builder's own is in it.
func (r *run) env(c gitrepo.Commit) []string {
	home, tmp := boxHome, boxTmp
	if r.result.Sandbox != bubblewrap {
		home, tmp = filepath.Join(r.work, "home"), filepath.Join(r.work, "tmp")
	}
	env := []string{"PATH=" + r.path(), "HOME=" + home, "TMPDIR=" + tmp, "LANG=C.UTF-8", "TZ=UTC",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", c.Time.Unix())}
	for _, values := range []map[string]string{r.config.Env, r.recipe.Env} { // of two, the last one counts
		for name, v := range values {
			if name != "PATH" {
				env = append(env, name+"="+v)
			}
		}
	}
	return append(env, "SKERRY_SERVICE="+r.order.Service, "SKERRY_VERSION="+r.result.Version, "SKERRY_COMMIT="+c.ID,
		"SKERRY_PLATFORMS="+strings.Join(r.recipe.Platforms, " "), tokenName+"="+r.token)
}

// tokenName is the variable by which processes of a run are known.
const tokenName = "SKERRY_BUILD"

// onPath reports whether a program is in one of the directories.
func onPath(name, path string) bool {
	for _, dir := range filepath.SplitList(path) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() &&
			info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}
