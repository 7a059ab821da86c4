package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/gitrepo"
	"github.com/skerry/skerry/site/artifact"
)

// TestMain is the builder that TestKilledBuilder kills, when it is told so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BUILDER_OF_TEST"); dir != "" {
		store, err := artifact.Open(filepath.Join(dir, "store"), artifact.Options{})
		if err == nil {
			_, err = New(filepath.Join(dir, "builder"), testConfig()).Run(context.Background(),
				Order{Service: "auth", Repo: filepath.Join(dir, "auth.git"), Store: store, By: "li"})
		}
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// testConfig is that of a builder; steps run as nobody when the test is root.
func testConfig() Config {
	c, err := parseConfig("", nil)
	if err != nil {
		panic(err)
	}
	if os.Geteuid() == 0 {
		c.User = "nobody"
	}
	return c
}

// yard is a builder with a repository and a store.
type yard struct {
	t       *testing.T
	dir     string
	config  Config
	builder *Builder
	store   *artifact.Store
	order   Order
}

func newYard(t *testing.T) *yard {
	t.Helper()
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Fatal("bubblewrap is missing; scripts/setup installs it")
	}
	for _, v := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		t.Setenv(v, os.DevNull)
	}
	for _, role := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+role+"_NAME", "li")
		t.Setenv("GIT_"+role+"_EMAIL", "li@ops-1")
		t.Setenv("GIT_"+role+"_DATE", "2026-03-01T10:00:00Z")
	}
	y := &yard{t: t, dir: t.TempDir(), config: testConfig()}
	if err := os.Chmod(filepath.Dir(y.dir), 0o755); err != nil { // the user of the steps goes through it
		t.Fatal(err)
	}
	var err error
	if _, err = gitrepo.Init(t.Context(), filepath.Join(y.dir, "auth.git")); err != nil {
		t.Fatal(err)
	}
	if y.store, err = artifact.Open(filepath.Join(y.dir, "store"), artifact.Options{}); err != nil {
		t.Fatal(err)
	}
	y.order = Order{Service: "auth", Repo: filepath.Join(y.dir, "auth.git"), Source: "auth.git", By: "li",
		Store: y.store}
	y.renew()
	return y
}

// renew makes the builder anew, with the present configuration.
func (y *yard) renew() { y.builder = New(filepath.Join(y.dir, "builder"), y.config) }

// push commits files and pushes them to main.
func (y *yard) push(files map[string]string) string {
	y.t.Helper()
	work := y.t.TempDir()
	git := func(args ...string) string {
		c := exec.CommandContext(y.t.Context(), "git", args...)
		c.Dir = work
		out, err := c.CombinedOutput()
		if err != nil {
			y.t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	for name, text := range files {
		path := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			y.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			y.t.Fatal(err)
		}
	}
	git("add", "-A")
	git("commit", "-q", "-m", "x")
	git("push", "-q", "-f", y.order.Repo, "HEAD:refs/heads/main")
	return git("rev-parse", "HEAD")
}

// recipe is a recipe with steps.
func recipe(steps ...string) map[string]string {
	text := "service: auth\nsteps:\n"
	for _, s := range steps {
		text += "  - |\n    " + strings.ReplaceAll(s, "\n", "\n    ") + "\n"
	}
	return map[string]string{DefaultRecipe: text + "outputs: dist\nrun: {command: ./auth}\ntimeout: 60s\n"}
}

const makeAuth = `mkdir dist; printf '#!/bin/sh\necho hello\n' >dist/auth; chmod +x dist/auth`

// run builds main, and wants an outcome and a reason.
func (y *yard) run(want Outcome, why string) Result {
	y.t.Helper()
	r, err := y.builder.Run(y.t.Context(), y.order)
	if err != nil {
		y.t.Fatal(err)
	}
	if r.Outcome != want || !strings.Contains(r.Why, why) {
		y.t.Fatalf("it %s: %s; want %s: %s\n%s", r.Outcome, r.Why, want, why, r.Log.Tail)
	}
	if kept, err := y.builder.Result(r.ID); err != nil || kept.Outcome != want || kept.Log != r.Log {
		y.t.Errorf("kept: %+v, %v", kept, err)
	}
	if list, err := os.ReadDir(filepath.Join(y.builder.dir, "work")); err != nil || len(list) != 0 {
		y.t.Errorf("left in work: %v, %v", list, err)
	}
	return r
}

// TestBuild: a commit becomes an artifact, the same each time, in a sandbox without network, keys and secrets.
func TestBuild(t *testing.T) {
	y := newYard(t)
	secret := filepath.Join(y.dir, "secret")
	if err := os.WriteFile(secret, []byte("key"), 0o644); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(y.dir, "open")
	if err := os.WriteFile(open, []byte("library"), 0o644); err != nil {
		t.Fatal(err)
	}
	y.config.Read = []string{open}
	y.renew()
	files := recipe(makeAuth, `cat `+open+`; if echo x >>`+open+`; then exit 1; fi
pwd; id -u; ls -la --time-style=+%s sub/file
if cat `+secret+`; then exit 1; fi
if ls `+y.order.Repo+`/HEAD; then exit 1; fi
if touch /etc/x /usr/x /x; then exit 1; fi
if [ "$(cd /sys/class/net && echo *)" != "" ]; then awk 'NR > 2 && $1 != "lo:" { exit 1 }' /proc/net/dev; fi
[ $$ -lt 20 ] # the processes of the host are not there
[ -z "$HOME_OF_BUILDER" ]; [ "$HOME" = /tmp/home ]; touch $HOME/x $TMPDIR/y
echo at $SOURCE_DATE_EPOCH of $SKERRY_SERVICE $SKERRY_VERSION $SKERRY_COMMIT`)
	files["sub/file"] = "x"
	id := y.push(files)
	t.Setenv("HOME_OF_BUILDER", "x")
	r := y.run(Succeeded, "")
	if r.Sandbox != bubblewrap || r.Commit != id || r.Version != id[:12] || r.By != "li" || len(r.Artifacts) != 1 ||
		r.Target != "auth@"+id[:12] {
		t.Errorf("result: %+v", r)
	}
	for _, part := range []string{boxCheckout, " 1772359200 ", "at 1772359200 of auth " + id[:12] + " " + id} {
		if !strings.Contains(r.Log.Tail, part) {
			t.Errorf("the log lacks %q:\n%s", part, r.Log.Tail)
		}
	}
	if os.Geteuid() == 0 && !strings.Contains(r.Log.Tail, "\n65534\n") {
		t.Errorf("not as nobody:\n%s", r.Log.Tail)
	}
	made, err := y.store.Get(r.Artifacts[0].Digest)
	if err != nil || made.Manifest.Source != (artifact.Source{Repo: "auth.git", Commit: id}) ||
		made.Manifest.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("artifact: %+v, %v", made.Manifest, err)
	}
	again := y.run(Succeeded, "")
	if again.Artifacts[0] != r.Artifacts[0] || again.ID != r.ID+1 {
		t.Errorf("again: %+v", again)
	}
	f, err := y.builder.OpenLog(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if n, err := f.WriteTo(sum); err != nil || n != r.Log.Bytes || fmt.Sprintf("%x", sum.Sum(nil)) != r.Log.SHA256 {
		t.Errorf("log: %d bytes, %v; result: %+v", n, err, r.Log)
	}
}

// TestVersions: the version is that of the order, a tag, or the hash.
func TestVersions(t *testing.T) {
	y := newYard(t)
	id := y.push(recipe(makeAuth))
	if out, err := exec.Command("git", "--git-dir", y.order.Repo, "tag", "v15", id).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if r := y.run(Succeeded, ""); r.Version != "v15" {
		t.Errorf("tagged: %s", r.Version)
	}
	y.order.Version = "v16"
	if r := y.run(Succeeded, ""); r.Version != "v16" {
		t.Errorf("ordered: %s", r.Version)
	}
	y.order.Version = "../x"
	y.run(Refused, "version")
	// Other bytes for the same version are refused.
	y.order.Version = "v17"
	y.push(recipe(makeAuth + "; date +%N >dist/now"))
	y.run(Succeeded, "")
	y.run(Failed, "give what was changed a new version")
}

// TestRefused: what is wrong before anything runs is said, and nothing runs.
func TestRefused(t *testing.T) {
	y := newYard(t)
	y.run(Refused, "it is empty")
	mark := filepath.Join(y.dir, "ran")
	good := recipe("touch " + mark)[DefaultRecipe]
	for name, c := range map[string]struct{ text, why string }{
		"other service":   {strings.Replace(good, "auth", "proc", 1), `the recipe is that of "proc"`},
		"unknown key":     {good + "network: true\n", "network"},
		"outside":         {strings.Replace(good, "dist", "../../etc", 1), "no path below the checkout"},
		"absolute":        {strings.Replace(good, "dist", "/etc", 1), "no path below the checkout"},
		"checkout itself": {strings.Replace(good, "dist", "a/..", 1), "no path below the checkout"},
		"variable":        {strings.Replace(good, "dist", "\"${HOME}\"", 1), "the only variable"},
		"two platforms":   {good + "platforms: [linux/amd64, linux/arm64]\n", "write ${platform} into it"},
		"platform":        {good + "platforms: [\"../x\"]\n", "write OS/ARCH"},
		"tool":            {good + "tools: [\"a/b\"]\n", "no name of a program"},
		"missing tool":    {good + "tools: [sh, no-such-tool]\n", "needs the program no-such-tool"},
		"time":            {strings.Replace(good, "60s", "2h", 1), "the builder gives at most 1h0m0s"},
		"no steps":        {"service: auth\noutputs: dist\nrun: {command: ./auth}\n", "0 steps"},
		"environment":     {good + "env: {SKERRY_COMMIT: x}\n", "SKERRY_"},
		"path":            {good + "env: {PATH: x}\n", "it is the builder's"},
		"no yaml":         {"\x00\xff{", ""},
		"too large":       {good + "#" + strings.Repeat("x", maxRecipe), "more than"},
	} {
		y.push(map[string]string{DefaultRecipe: c.text})
		r, err := y.builder.Run(t.Context(), y.order)
		if err != nil || r.Outcome != Refused || !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: %s: %s, %v", name, r.Outcome, r.Why, err)
		}
	}
	y.push(map[string]string{"x": "y"})
	y.run(Refused, "has no recipe")
	y.push(recipe("touch " + mark))
	y.order.Commit = "--upload-pack=touch " + mark
	y.run(Refused, "is no branch, tag or hash")
	y.order.Commit, y.order.Repo = "", t.TempDir()
	y.run(Refused, "is no Git repository")
	if os.Geteuid() == 0 {
		for _, user := range []string{"", "root"} {
			y.config.User = user
			y.renew()
			y.run(Refused, "do not run as root")
		}
	}
	if os.Geteuid() == 0 {
		y.config.User = "nobody"
		y.renew()
		if err := os.Chmod(y.builder.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		y.run(Refused, "chmod o+x "+y.builder.dir)
	}
	y.config.User = "no-such-user"
	y.renew()
	y.run(Refused, "no-such-user")
	if _, err := os.Stat(mark); err == nil {
		t.Error("a step ran")
	}
}

// TestHostileOutputs: links, devices, and what leads out of the checkout are never taken.
func TestHostileOutputs(t *testing.T) {
	y := newYard(t)
	for name, c := range map[string]struct{ step, why string }{
		"none":           {":", "have not made"},
		"a failed step":  {"exit 3", "exit status 3"},
		"empty":          {"mkdir dist", "has no file"},
		"a link":         {makeAuth + "; ln -s /etc/passwd dist/x", "symbolic link"},
		"a dead link":    {makeAuth + "; ln -s nowhere dist/x", "symbolic link"},
		"the directory":  {"ln -s /etc dist", "symbolic link"},
		"a pipe":         {makeAuth + "; mkfifo dist/x", "no plain file"},
		"no command":     {"mkdir dist; echo >dist/other", "has no file"},
		"not executable": {makeAuth + "; chmod -x dist/auth", "not executable"},
	} {
		y.push(recipe(c.step))
		r, err := y.builder.Run(t.Context(), y.order)
		if err != nil || r.Outcome != Failed || !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: %s: %s, %v", name, r.Outcome, r.Why, err)
		}
	}
	files := recipe("mkdir real; ln -s /etc way")
	files[DefaultRecipe] = strings.Replace(files[DefaultRecipe], "outputs: dist", "outputs: way/ssl", 1)
	y.push(files)
	y.run(Failed, "escapes")
	y.push(recipe(makeAuth + "; mkdir -p dist/a/b; echo x >dist/a/b/c; chmod 500 dist/a dist/a/b"))
	y.run(Succeeded, "") // and directories that may not be written are removed
}

// marked returns the processes that a variable marks.
func marked(t *testing.T, mark string) (pids []int) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range list {
		env, _ := os.ReadFile(path)
		pid := 0
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err == nil && bytes.Contains(env, []byte(mark)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// withoutBubblewrap takes bwrap off the path.
func withoutBubblewrap(t *testing.T) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(git, filepath.Join(dir, "git")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

// lingering leaves processes of every kind behind.
const lingering = `sleep 1000 &
setsid sh -c 'trap "" TERM HUP; sleep 1000; :' &
(setsid sleep 1000 &) # its parent has ended
`

// TestAllProcessesEnd: at the end, at a failure, at the time and when it is canceled, with a sandbox and without.
func TestAllProcessesEnd(t *testing.T) {
	for _, box := range []bool{true, false} {
		t.Run(fmt.Sprintf("sandbox=%v", box), func(t *testing.T) {
			y := newYard(t)
			mark := "MARK_OF_TEST=" + filepath.Base(y.dir) + strings.ReplaceAll(t.Name(), "/", "-")
			y.config.Env = map[string]string{"MARK_OF_TEST": strings.TrimPrefix(mark, "MARK_OF_TEST=")}
			y.renew()
			files := recipe(makeAuth, lingering)
			y.push(files)
			bare := func() {
				if !box {
					withoutBubblewrap(t)
				}
			}
			bare()
			r := y.run(Succeeded, "")
			if (r.Sandbox == bubblewrap) != box || !box && !strings.Contains(r.Log.Tail, "not sandboxed") {
				t.Errorf("sandbox: %q\n%s", r.Sandbox, r.Log.Tail)
			}
			if left := marked(t, mark); len(left) > 0 {
				t.Errorf("after the end: %v", left)
			}
			t.Setenv("PATH", systemPath)
			files = recipe(lingering + "wait")
			files[DefaultRecipe] = strings.Replace(files[DefaultRecipe], "60s", "1s", 1)
			y.push(files)
			bare()
			y.run(Failed, "the steps took more than 1s")
			if left := marked(t, mark); len(left) > 0 {
				t.Errorf("after the time: %v", left)
			}
			t.Setenv("PATH", systemPath)
			y.push(recipe(lingering + "wait"))
			bare()
			canceled := make(chan error, 1)
			y.order.Began = func(r Result) {
				go func() {
					r, err := y.builder.Cancel(t.Context(), r.ID, "wang")
					if err == nil && r.Outcome != Failed {
						err = fmt.Errorf("it %s", r.Outcome)
					}
					canceled <- err
				}()
			}
			y.run(Failed, "it was canceled by wang")
			if err := <-canceled; err != nil {
				t.Error(err)
			}
			if left := marked(t, mark); len(left) > 0 {
				t.Errorf("after the cancel: %v", left)
			}
			if !box {
				y.config.Sandbox = required
				y.renew()
				y.order.Began = nil
				y.run(Refused, "requires a sandbox, and bubblewrap is not on this host")
			}
		})
	}
	y := newYard(t)
	y.push(recipe("sleep 1000"))
	ctx, cancel := context.WithCancel(t.Context())
	y.order.Began = func(Result) { cancel() }
	if r, err := y.builder.Run(ctx, y.order); err != nil || r.Outcome == Succeeded {
		t.Errorf("%s, %v", r.Outcome, err)
	}
}

// TestKilledBuilder: the next look says that a build ended in the middle, and the next run removes what is left.
func TestKilledBuilder(t *testing.T) {
	y := newYard(t)
	ready := "READY-" + filepath.Base(y.dir)
	y.push(recipe(lingering + "echo " + ready + " >ready; wait"))
	withoutBubblewrap(t)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "BUILDER_OF_TEST="+y.dir)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(y.builder.dir, "work", "1", "checkout", "ready")
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the build does not begin")
		}
	}
	if r, err := y.builder.Result(1); err != nil || r.Outcome != Running {
		t.Errorf("under way: %+v, %v", r, err)
	}
	token, err := os.ReadFile(filepath.Join(y.builder.dir, "builds", "1", tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	mark := tokenName + "=" + string(token)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if r, err := y.builder.Result(1); err != nil || r.Outcome != Failed || r.Why != interrupted {
		t.Errorf("killed: %+v, %v", r, err)
	}
	if len(marked(t, mark)) == 0 {
		t.Error("nothing was left: the test shows nothing")
	}
	if _, err := y.builder.Cancel(t.Context(), 1, "li"); err == nil {
		t.Error("a build that has ended was canceled")
	}
	y.push2(recipe(makeAuth))
	if r := y.run(Succeeded, ""); r.ID != 2 {
		t.Errorf("the number %d", r.ID)
	}
	if left := marked(t, mark); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	all, err := y.builder.Results()
	if err != nil || len(all) != 2 || all[1].Why != interrupted {
		t.Errorf("results: %+v, %v", all, err)
	}
}

// push2 is push with the path of the system.
func (y *yard) push2(files map[string]string) {
	path := os.Getenv("PATH")
	y.t.Setenv("PATH", systemPath)
	y.push(files)
	y.t.Setenv("PATH", path)
}

// TestLongLog: of a log of any length the beginning and the end are kept, and the sum is that of the whole.
func TestLongLog(t *testing.T) {
	y := newYard(t)
	y.push(recipe(makeAuth, "yes 0123456789abcde | head -c 20000000; printf '\\033[31m\\377 last'"))
	r := y.run(Succeeded, "")
	info, err := os.Stat(y.builder.slotOf(r.ID).file(logFile))
	if err != nil || info.Size() > maxHead+maxEnd+1000 || info.Size() < maxHead+maxEnd {
		t.Errorf("the file: %v, %v", info, err)
	}
	if r.Log.Bytes < 20_000_000 || r.Log.Lost < 10_000_000 || len(r.Log.Tail) > maxTail+100 ||
		!strings.Contains(r.Log.Tail, "\x1b[31m� last") {
		t.Errorf("log: %d bytes, %d lost, tail %q", r.Log.Bytes, r.Log.Lost, r.Log.Tail)
	}
}

// TestFullDisk: no room in the store, or for the log.
func TestFullDisk(t *testing.T) {
	y := newYard(t)
	y.push(recipe(makeAuth))
	full, err := artifact.Open(filepath.Join(y.dir, "full"), artifact.Options{Floor: 1 << 49})
	if err != nil {
		t.Fatal(err)
	}
	y.order.Store = full
	y.run(Failed, "artifact for")
	if all, err := full.List(); err != nil || len(all) != 0 {
		t.Errorf("the store has %v, %v", all, err)
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k := newKeeper(f, nil)
	k.printf("hello")
	if l := k.finish(nil); l.Lost != 5 || l.Bytes != 5 {
		t.Errorf("log: %+v", l)
	}
}

// TestKeep: the oldest results go.
func TestKeep(t *testing.T) {
	y := newYard(t)
	y.config.Keep = 2
	y.renew()
	for range 4 {
		y.run(Refused, "it is empty")
	}
	all, err := y.builder.Results()
	if err != nil || len(all) != 2 || all[0].ID != 4 || all[1].ID != 3 {
		t.Errorf("results: %+v, %v", all, err)
	}
	if _, err := y.builder.Result(1); err == nil {
		t.Error("the first result is there")
	}
}

// TestTwoAtOnce: builds side by side have numbers and directories of their own, and make the same artifact.
func TestTwoAtOnce(t *testing.T) {
	y := newYard(t)
	y.push(recipe("sleep 0.2; " + makeAuth))
	results := make(chan Result)
	for range 4 {
		go func() {
			r, err := y.builder.Run(t.Context(), y.order)
			if err != nil {
				t.Error(err)
			}
			results <- r
		}()
	}
	seen := map[int]bool{}
	var first []Built
	for range 4 {
		r := <-results
		if r.Outcome != Succeeded || seen[r.ID] {
			t.Errorf("build %d %s: %s", r.ID, r.Outcome, r.Why)
			continue
		}
		seen[r.ID] = true
		if first == nil {
			first = r.Artifacts
		}
		if len(first) != 1 || r.Artifacts[0] != first[0] {
			t.Errorf("artifacts %v and %v", first, r.Artifacts)
		}
	}
}

// TestConfig: mistakes in the file of a builder are named.
func TestConfig(t *testing.T) {
	c, err := parseConfig("builder.yaml", []byte("user: build\nread: [/srv/maven]\nenv: {GOPROXY: \"off\"}\n"))
	if err != nil || c.User != "build" || c.Timeout != time.Hour || c.Keep != 200 || c.Sandbox != preferred {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{"sandbox: maybe", "read: [x]", "env: {SKERRY_X: y}", "timeout: 48h", "keep: -1",
		"key: x", "builds: [\"[\"]", "network: true"} {
		if _, err := parseConfig("builder.yaml", []byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// FuzzRecipe: no recipe names an output outside of the checkout.
func FuzzRecipe(f *testing.F) {
	f.Add("service: auth\nsteps: [make]\noutputs: dist/${platform}\nrun: {command: ./auth}\n")
	f.Add("service: auth\nplatforms: [any]\nsteps: [\"a\"]\noutputs: \"../x\"\ntools: [go]\nenv: {A: b}\ntimeout: 1s\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecipe("build.yaml", []byte(text), "auth", "linux/amd64")
		if err != nil {
			return
		}
		for _, p := range r.Platforms {
			if out, err := r.output(p); err != nil || !filepath.IsLocal(out) || out == "." {
				t.Errorf("output %q, %v", out, err)
			}
		}
	})
}
