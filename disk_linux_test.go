package skerry

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/registry/registrytest"
)

// lines is a log that tests read during writes.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(phrase string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), phrase)
}

// TestDiskThatHangs freezes the file system under the state of a process. New rules and keys are in
// use at once, a promise is refused in time, another process starts, and Close ends. When the disk
// answers again, it gets the new rules and keys, and not the refused promise.
func TestDiskThatHangs(t *testing.T) {
	site, log := lanSite(t), &lines{}
	site.StateDir = filepath.Join(t.TempDir(), "state")
	disk := lab.NewDisk(t, site.StateDir)
	toLog := WithLogger(slog.New(slog.NewTextHandler(log, nil)))
	n := offering(t, site, &greeter{name: "anna"}, toLog)
	first := proven(t, n, rollout.Entry{Cluster: site.Cluster, Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"auth": {Version: "v1"}}})
	must(t, "learn", n.Rollout().Learn(first))
	within := func(what string, limit time.Duration, do func()) {
		t.Helper()
		begun := time.Now()
		do()
		if took := time.Since(begun); took > limit {
			t.Errorf("%s took %v on a disk that hangs, at most %v is agreed", what, took, limit)
		}
	}

	disk.Freeze()
	next := n.Rollout().Log().Next("r2", map[string]rollout.Rule{"auth": {Version: "v2"}})
	within("to learn rules", time.Second, func() { n.members.Learn([]rollout.Entry{proven(t, n, next)}) })
	if got := n.Rollout().Log().Last(); got != next.Generation {
		t.Errorf("%v is in use, want %v", got, next.Generation)
	}
	refusedNext := n.Rollout().Log().Next("r3", nil)
	proof, err := n.trust.SiteSigner().Sign(rollout.ForPromise, refusedNext.PromiseText("ann"))
	must(t, "sign", err)
	within("a promise", 5*time.Second, func() {
		err := n.Rollout().Promise(refusedNext, rollout.Undertaking{Command: "ann", Proof: proof})
		if !errors.Is(err, run.ErrDiskHangs) || n.Rollout().Promised() != nil {
			t.Errorf("a promise that can't be kept: %v", err)
		}
	})
	within("keys", state.Limit+time.Second, func() { n.storeKeys(nil) })
	within("a call", time.Second, func() {
		if _, err := greet(t.Context(), n); err != nil {
			t.Error(err)
		}
	})
	within("to open another", 10*time.Second, func() {
		other := open(t, site, toLog)
		if log.count("state is not kept until this process is started again") != 1 {
			t.Error("nothing says that the other keeps no state")
		}
		e := rollout.Entry{Cluster: site.Cluster, Generation: rollout.Generation{N: 1}}
		sealed, err := e.Seal()
		must(t, "seal", err)
		proof, err := n.trust.SiteSigner().Sign(rollout.ForPromise, sealed.PromiseText("bob"))
		must(t, "sign", err)
		err = other.Rollout().Promise(sealed, rollout.Undertaking{Command: "bob", Proof: proof})
		if err == nil || other.Rollout().Log().Last() == (rollout.Generation{}) && !errors.Is(err, run.ErrDiskHangs) {
			t.Errorf("a process that may have promised something else promises: %v", err)
		}
		must(t, "close", other.Close())
	})
	if got := log.count("in use here and not kept"); got == 0 || got > 2 { // once for each process
		t.Errorf("said %d times that rules are not kept", got)
	}
	if log.count("not applied") != 0 {
		t.Error("rules that are in use are said not to be applied")
	}
	disk.Thaw()
	lab.Eventually(t, 20*time.Second, func() bool { return log.count("kept again") > 0 },
		func() string { return "the rules are kept" })
	text, err := os.ReadFile(n.files.Path(state.Rules))
	if err != nil || !bytes.Contains(text, []byte(next.Hash())) || bytes.Contains(text, []byte(`"promise"`)) {
		t.Errorf("kept: %s, %v", text, err)
	}
	last := n.Rollout().Log().Next("r3", map[string]rollout.Rule{"auth": {Version: "v3"}})
	disk.Freeze()
	n.members.Learn([]rollout.Entry{proven(t, n, last)})
	within("Close", 15*time.Second, func() { must(t, "close", n.Close()) })
	disk.Thaw()
}

// TestRemovedLockIsNoticed: a process makes its removed lock file again, or stops
// writing when another process has taken the files.
func TestRemovedLockIsNoticed(t *testing.T) {
	log := &lines{}
	dir := t.TempDir()
	must(t, "chmod", os.Chmod(dir, 0o700))
	hub := &registrytest.MemoryStore{}
	toLog := WithLogger(slog.New(slog.NewTextHandler(log, nil)))
	n := open(t, Config{StateDir: dir, Cluster: "test"}, memorySite(hub), toLog)
	rules := n.files.Path(state.Rules)
	lockFile := strings.TrimSuffix(rules, string(state.Rules)) + ".lock"
	entry := rollout.Entry{Cluster: "test", Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"auth": {Version: "v1"}}}
	must(t, "remove", os.Remove(lockFile))
	must(t, "learn", n.Rollout().Learn(proven(t, n, entry)))
	if _, err := os.Stat(lockFile); err != nil || log.count("is there again") == 0 {
		t.Errorf("the lock is not made again: %v", err)
	}
	must(t, "keep", n.Rollout().Persist())

	must(t, "remove", os.Remove(lockFile))
	thief := state.Open(state.Config{Dir: dir, Cluster: "test", Name: state.Name("", "0"), Log: n.log})
	defer thief.Close()
	if got := thief.Path(state.Rules); got != rules {
		t.Fatalf("another process has taken %s", got)
	}
	must(t, "learn", n.Rollout().Learn(proven(t, n, n.Rollout().Log().Next("r", nil))))
	if err := n.Rollout().Persist(); !errors.Is(err, state.ErrTaken) {
		t.Errorf("it writes files of another process: %v", err)
	}
	if got := log.count("state is not kept any more"); got != 1 {
		t.Errorf("said %d times", got)
	}
}
