//go:build linux

package polyglot

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/examples/polyglot/internal/hosts"
	"github.com/skerry/skerry/internal/testsite"
)

const (
	firstLimit = time.Minute // for the first answer, on a busy machine
	// lines are those of each configuration: no step fails because the machine is slow, and what a program calls after
	// the end of a call that its caller gave up is refused.
	lines = `consumers:
  "*": {timeout: 30s, wait: 3s}
  auth: {idempotent: [verify]}
  db: {idempotent: [read, fullName]}
rollout: {orphans: strict}
stop: {grace: 500ms, drain: 10s}
stats: {interval: none}
`
)

// requests is how many requests each of the three seeds of a scene has.
var requests = flag.Int("requests", 3500, "requests of each seed")

// TestMain has all scenes run at the same time, as they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// tools builds the command and the four programs, once.
var tools = sync.OnceValues(func() (root string, err error) {
	if root, err = filepath.Abs("../.."); err != nil {
		return "", err
	}
	build := exec.Command("examples/polyglot/build")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", build.Args, err, out)
	}
	_, err = testsite.Command()
	return root, err
})

// company is a site of make-believe hosts under load.
type company struct {
	t     *testing.T
	site  *site.Site
	set   hosts.Settings
	load  *hosts.Load
	hosts map[string]*hosts.Host
	stop  func() // ends the load, and waits for its last requests

	mu     sync.Mutex
	faults []fault
}

// newCompany starts two hosts with all four programs in version v1, and a load on them. Its callers pause for
// about so long between two requests: scenes that mostly wait leave the processors to others.
func newCompany(t *testing.T, dice *rand.Rand, pause time.Duration, set hosts.Settings) *company {
	t.Helper()
	root, err := tools()
	must(t, err)
	dir, err := os.MkdirTemp("/dev/shm", "skerry-polyglot-") // the path of a socket is short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	outside := strings.Replace(lines, "strict", "migrate", 1) // the load's requests become traces at Portal
	set.Root, set.Lines = root, lines
	if set.WithoutHelper { // all that its programs call belongs to no trace
		set.Lines = outside
	}
	c := &company{t: t, set: set, hosts: map[string]*hosts.Host{}}
	c.site, err = site.New(filepath.Join(root, ".build/bin"), dir, "")
	must(t, err)
	t.Cleanup(c.explain)
	t.Cleanup(c.site.Close)
	c.start("a", "v1", "portal", "auth", "proc", "db")
	c.start("b", "v1", "portal", "auth", "proc", "db")
	c.load, err = hosts.NewLoad(t.Context(), c.site, outside)
	must(t, err)
	t.Cleanup(func() { _ = c.load.Close() })
	must(t, c.load.First(t.Context(), firstLimit))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	callers := 4 + dice.IntN(5)
	pause = pause*3/4 + time.Duration(dice.Int64N(int64(pause/2)))
	go func() {
		defer close(ended)
		c.load.Run(ctx, callers, pause)
	}()
	c.stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(c.stop)
	return c
}

// start starts a host.
func (c *company) start(name, version string, services ...string) {
	c.t.Helper()
	var programs []hosts.Program
	for _, service := range services {
		programs = append(programs, hosts.Program{Service: service, Version: version})
	}
	h, err := hosts.New(c.site, c.set, name, programs...)
	must(c.t, err)
	c.hosts[name] = h
	must(c.t, h.Start())
}

// release does one step. It is repeated, as the command says, when a process that is restarted does not answer it.
func (c *company) release(args ...string) {
	c.t.Helper()
	for tries := 5; ; tries-- {
		out, err := hosts.Release(c.t.Context(), c.site, append(args, "--yes")...)
		switch {
		case err == nil:
			return
		case tries == 1 || !strings.Contains(string(out), "repeat the step"):
			c.t.Fatalf("%v\n%s", err, out)
		}
		c.t.Logf("%s", out)
	}
}

// ship waits for so many instances each of Auth and Proc v2.
func (c *company) ship(instances int) {
	c.t.Helper()
	manifest := c.site.LogPath("release") + ".yaml"
	text := fmt.Sprintf("modules:\n  auth: {version: v2, wish: %d}\n  proc: {version: v2, wish: %[1]d}\n", instances)
	must(c.t, os.WriteFile(manifest, []byte(text), 0o600))
	c.release("ship", "all", "--file", manifest)
}

// requests waits until the load has sent so many requests more.
func (c *company) requests(more int) { c.t.Helper(); c.until(c.load.Count() + more) }

// until waits until the load has sent so many requests.
func (c *company) until(many int) {
	c.t.Helper()
	c.await(fmt.Sprintf("there are %d requests", many), func() bool { return c.load.Count() >= many })
}

// await waits until ok holds, at most two minutes, for slow machines.
func (c *company) await(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); {
		if time.Now().After(end) {
			c.t.Fatalf("waited two minutes until %s", what)
		}
		sleep(c.t.Context(), 20*time.Millisecond)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// explain shows the ends of the logs after a failed test.
func (c *company) explain() {
	if !c.t.Failed() {
		return
	}
	for _, p := range c.site.Processes() {
		text, err := os.ReadFile(c.site.LogPath(p.Name))
		if err != nil {
			c.t.Log(err)
		}
		all := strings.Split(strings.TrimSpace(journal.ReplaceAllString(string(text), "")), "\n")
		c.t.Logf("log of %s:\n%s", p.Name, strings.Join(all[max(0, len(all)-15):], "\n"))
	}
}

// seeds plays a scene at three sites at the same time.
func seeds(t *testing.T, scene func(t *testing.T, dice *rand.Rand)) {
	t.Helper()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			scene(t, rand.New(rand.NewPCG(seed, 12)))
		})
	}
}

// ramp returns the arguments of a ramp.
func ramp(dice *rand.Rand) []string {
	shares := fmt.Sprintf("%d,%d,%d,100", 5+dice.IntN(20), 30+dice.IntN(30), 65+dice.IntN(30))
	return []string{"commit", "--ramp", shares, "--every", fmt.Sprint(700+dice.IntN(800), "ms")}
}

// restart is a rolling restart of a host: its proxy leaves, then the programs, and all are started again.
func (c *company) restart(host string) {
	c.t.Helper()
	h := c.hosts[host]
	must(c.t, h.Stop())
	c.begin(c.t.Context(), host, h.Start, "portal", "auth", "proc", "db")
}

// upgrade starts a second proxy on the sockets of a host's first one after a while. The returned function waits for
// the end of the first one.
func (c *company) upgrade(host string, after time.Duration) (join func()) {
	h := c.hosts[host]
	first := h.Proxy()
	started := make(chan error, 1)
	go func() {
		sleep(c.t.Context(), after)
		started <- h.StartProxy()
	}()
	return func() {
		c.t.Helper()
		must(c.t, <-started)
		c.await(first.Name+" has left", func() bool { when, _ := first.Ended(); return !when.IsZero() })
		if _, err := first.Ended(); err != nil {
			c.t.Errorf("the first %s: %v", first.Name, err)
		}
	}
}

// TestReleaseOfTwoLanguages releases Auth, in Java, together with Proc, in Python. A host is restarted before, and
// proxies are upgraded while the release goes on. No request fails, and none meets two versions.
func TestReleaseOfTwoLanguages(t *testing.T) {
	t.Parallel()
	seeds(t, func(t *testing.T, dice *rand.Rand) {
		c := newCompany(t, dice, 10*time.Millisecond, hosts.Settings{})
		c.release("start", "--by", "ann", "--reason", "a test")
		c.restart("a")
		c.start("c", "v2", "auth", "proc")
		c.ship(1)
		c.requests(100 + dice.IntN(300))
		joins := []func(){c.upgrade("b", time.Duration(dice.IntN(3000))*time.Millisecond),
			c.upgrade("c", time.Duration(dice.IntN(3000))*time.Millisecond)}
		c.release(ramp(dice)...)
		for _, join := range joins {
			join()
		}
		c.requests(dice.IntN(300))
		c.release("clean")
		c.until(*requests)
		c.judge()
	})
}

// TestReleaseWithoutHelpersIsCaught plays the same release with programs that serve without the helper. The checker
// must find requests that met two versions.
func TestReleaseWithoutHelpersIsCaught(t *testing.T) {
	t.Parallel()
	c := newCompany(t, rand.New(rand.NewPCG(1, 12)), 20*time.Millisecond, hosts.Settings{WithoutHelper: true})
	c.release("start", "--by", "ann", "--reason", "a test")
	c.start("c", "v2", "auth", "proc")
	c.ship(1)
	c.release("commit", "--ramp", "50,100", "--every", "1s")
	c.release("clean")
	c.stop()
	h := c.history()
	rules := map[string]int{}
	for _, f := range h.Check() {
		rules[f.Rule]++
	}
	t.Logf("%d requests; calls: %v; findings: %v; %d traces met two versions", c.load.Count(), met(h), rules,
		len(mixed(h)))
	if rules["C1"] == 0 || rules["C2"] == 0 {
		t.Error("the checker has not noticed requests that met two versions of Auth, and an old Auth with a new Proc")
	}
	if len(mixed(h)) == 0 {
		t.Error("no request met two versions: the scene proves nothing")
	}
}

// judge ends the load, and reports what the checker finds and which requests failed without a fault.
func (c *company) judge() {
	c.t.Helper()
	c.stop()
	h := c.history()
	for i, f := range h.Check() {
		if i == 10 {
			c.t.Error("and more")
			break
		}
		c.t.Errorf("%v", f)
	}
	for trace := range mixed(h) {
		c.tell(h, trace)
	}
	failed, wrong := 0, 0
	all := c.load.Since(time.Time{})
	for _, r := range all {
		if r.Err == nil {
			continue
		}
		failed++
		if !c.explained(r) {
			if wrong++; wrong <= 10 {
				c.t.Errorf("%s failed from %s for %v: %v", r.ID, r.Began.Format("15:04:05.000"),
					r.Ended.Sub(r.Began).Round(time.Millisecond), r.Err)
			}
		}
	}
	calls := met(h)
	c.t.Logf("%d requests, %d failed, %d of them without a fault; %d met two versions; calls: %v",
		len(all), failed, wrong, len(mixed(h)), calls)
	for _, version := range []string{"v1", "v2"} {
		if calls["auth "+version] == 0 || calls["proc "+version] == 0 {
			c.t.Errorf("no request met %s: the scene proves nothing", version)
		}
	}
	if len(c.faults) > 0 && failed == 0 {
		c.t.Error("no request failed: the scene proves nothing")
	}
}
