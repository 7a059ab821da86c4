package skerry

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/registry/postgres"
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

// TestReadOnlyDisk: the disk under the state becomes read-only, as after an error of the disk. New rules
// and keys are in use at once, a promise is refused, and calls go on. A process that starts on that disk
// finds the earlier rules and the known lists, and says that it keeps nothing.
func TestReadOnlyDisk(t *testing.T) {
	site, log := lanSite(t), &lines{}
	site.StateDir = filepath.Join(t.TempDir(), "state")
	disk := lab.NewDisk(t, site.StateDir)
	toLog := func(to *lines) Option { return WithLogger(slog.New(slog.NewTextHandler(to, nil))) }
	n := offering(t, site, &greeter{name: "anna"}, toLog(log))
	first := proven(t, n, rollout.Entry{Cluster: site.Cluster, Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"auth": {Version: "v1"}}})
	must(t, "learn", n.Rollout().Learn(first))
	must(t, "keep", n.Rollout().Persist())

	disk.Fail()
	next := n.Rollout().Log().Next("r2", map[string]rollout.Rule{"auth": {Version: "v2"}})
	for range 2 {
		n.members.Learn([]rollout.Entry{proven(t, n, next)})
		n.storeKeys(nil)
	}
	if got := n.Rollout().Log().Last(); got != next.Generation {
		t.Errorf("%v is in use, want %v", got, next.Generation)
	}
	later := n.Rollout().Log().Next("r3", nil)
	proof, err := n.trust.SiteSigner().Sign(rollout.ForPromise, later.PromiseText("ann"))
	must(t, "sign", err)
	err = n.Rollout().Promise(later, rollout.Undertaking{Command: "ann", Proof: proof})
	if !errors.Is(err, syscall.EROFS) || n.Rollout().Promised() != nil {
		t.Errorf("a promise that can't be kept: %v", err)
	}
	if got, err := greet(t.Context(), n); got != "anna" || err != nil {
		t.Errorf("a call: %q, %v", got, err)
	}
	if got := log.count("in use here and not kept"); got != 1 || log.count("read-only file system") == 0 {
		t.Errorf("said %d times that rules are not kept, want once with the reason\n%s", got, log.text.String())
	}
	if log.count("not applied") != 0 {
		t.Error("rules that are in use are said not to be applied")
	}
	must(t, "close", n.Close())

	again := &lines{}
	site.LAN.Port = lab.Port(t) // no process there tells it newer rules
	other := offering(t, site, &greeter{name: "bob"}, toLog(again))
	if got := other.Rollout().Log().Last(); got != first.Generation {
		t.Errorf("a process that starts goes by %v, want %v of the disk", got, first.Generation)
	}
	if got := again.count("level=ERROR msg=\"state is not kept: the disk is read-only"); got != 1 {
		t.Errorf("said %d times that nothing is kept\n%s", got, again.text.String())
	}
	if got, err := greet(t.Context(), other); got != "bob" || err != nil {
		t.Errorf("a call after the start: %q, %v", got, err)
	}
	must(t, "close", other.Close())
}

// TestHeartbeatsGoOnOnADiskThatHangs: a provider's disk hangs for longer than its lease lasts, while
// steps of a release come from the database. The provider goes by each, its lease is renewed all the
// time, and its caller reaches it.
func TestHeartbeatsGoOnOnADiskThatHangs(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	site := withDatabase(lanSite(t), config.ModeDatabase, server.URL(db))
	caller := open(t, site)
	site.StateDir = filepath.Join(t.TempDir(), "state")
	disk := lab.NewDisk(t, site.StateDir)
	n := offering(t, site, &greeter{name: "anna"})
	eventually(t, "it is called", func() bool {
		_, err := greet(t.Context(), caller)
		return err == nil
	})
	beat := func() (at time.Time) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), server.URL(db))
		must(t, "connect", err)
		defer conn.Close(t.Context())
		must(t, "lease", conn.QueryRow(t.Context(), "SELECT heartbeat FROM skerry_lease WHERE owner = $1",
			n.owner.String()).Scan(&at))
		return at
	}
	disk.Freeze()
	begun := beat()
	inDatabase := caller.sources[0].Registry.(*postgres.Registry).Rules()
	log := n.Rollout().Log()
	for i := 1; beat().Sub(begun) < site.Database.Expiry+site.Database.Heartbeat; i++ {
		if i <= 3 { // each has the disk written
			e := proven(t, caller, log.Next(fmt.Sprint("r", i), map[string]rollout.Rule{"auth": {Version: "v1"}}))
			must(t, "append", inDatabase.Append(t.Context(), e))
			eventually(t, "the provider goes by the step", func() bool {
				log = n.Rollout().Log()
				return log.Last() == e.Generation
			})
		}
		before := beat()
		eventually(t, "the next heartbeat", func() bool { return beat().After(before) })
		if gap := beat().Sub(before); gap > site.Database.Expiry {
			t.Fatalf("no heartbeat for %v, the lease lasts %v", gap, site.Database.Expiry)
		}
		if got, err := greet(t.Context(), caller); got != "anna" || err != nil {
			t.Fatalf("a call after %v: %q, %v", beat().Sub(begun), got, err)
		}
	}
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
