package control_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/wire"
)

// TestReleaseOfTwoServices releases two services together under load. It runs in both
// modes, by three operators one after the other. No call fails. No trace meets the
// new version of one service and the old one of the other. The old versions leave
// without a command.
func TestReleaseOfTwoServices(t *testing.T) {
	t.Run("broadcast", func(t *testing.T) { releaseTwo(t, lanSite(t)) })
	t.Run("database", func(t *testing.T) {
		server := pgtest.Shared(t)
		releaseTwo(t, withDatabase(lanSite(t), config.ModeDatabase, server.URL(server.CreateDB(t))))
	})
}

// provide serves a version of a service. It returns a channel that is closed when
// Serve has returned.
func provide(t *testing.T, c skerry.Config, service, version string) <-chan struct{} {
	t.Helper()
	c.StateDir = t.TempDir()
	c.Service = config.Service{Name: service, Version: version}
	n, left := open(t, c), make(chan struct{})
	g := run.NewGroup(t.Context())
	g.Go(func(ctx context.Context) error {
		defer close(left)
		if err := n.Serve(ctx, service, wire.NewInternalProcessor(&greeter{name: version})); err != nil {
			t.Errorf("%s %s: %v", service, version, err)
		}
		return nil
	})
	return left
}

// trace calls both services in one trace and returns the versions that it met.
func trace(t *testing.T, n *skerry.Node) (met string) {
	ctx, end := n.Begin(t.Context(), "job")
	defer end()
	for _, service := range []string{"auth", "proc"} {
		id, err := wire.NewInternalClient(n.Client(service)).WhoAmI(ctx)
		if err != nil {
			return err.Error()
		}
		met += id.Release
	}
	return met
}

func releaseTwo(t *testing.T, site skerry.Config) {
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	var old []<-chan struct{}
	for _, service := range []string{"auth", "proc"} {
		old = append(old, provide(t, site, service, "v1"))
	}
	consumer := site
	consumer.StateDir = t.TempDir()
	root := open(t, consumer)
	eventually(t, "both services are called", func() bool { return trace(t, root) == "v1v1" })
	as := func(name string) *operator.Controller {
		c := site
		c.StateDir = "none"
		return control.Releases(open(t, c, skerry.AsObserver()), control.Operator{Name: name})
	}
	var stop atomic.Bool
	var traces [2]atomic.Int64
	load := run.NewGroup(ctx)
	defer load.Wait()
	defer stop.Store(true)

	ann := as("ann")
	must(t, "start", ann.Start(ctx, "spring", "new tokens", "preview"))
	if err := ann.Start(ctx, "summer", "too early", ""); !errors.Is(err, operator.ErrOpen) {
		t.Errorf("a second release was started: %v", err)
	}
	modules := []rollout.Module{{Service: "auth", Old: "v1", New: "v2"}, {Service: "proc", Old: "v1", New: "v2"}}
	if err := ann.Ship(ctx, modules...); err == nil {
		t.Error("versions that nobody offers were shipped")
	}
	for _, service := range []string{"auth", "proc"} {
		provide(t, site, service, "v2")
	}
	eventually(t, "the new versions are registered", func() bool { return ann.Ship(ctx, modules...) == nil })
	eventually(t, "everybody has the rules", func() bool { return root.Rollout().Log().Last().N >= 2 })
	load.Go(func(context.Context) error {
		for ; !stop.Load(); time.Sleep(time.Millisecond) { // leaves processor time to the others
			switch met := trace(t, root); met {
			case "v1v1":
				traces[0].Add(1)
			case "v2v2":
				traces[1].Add(1)
			default:
				t.Errorf("a trace met %s", met)
				return nil
			}
		}
		return nil
	})
	eventually(t, "load", func() bool { return traces[0].Load() > 100 })
	bob := as("bob")
	must(t, "commit", again(func() error { return bob.Commit(ctx, 5000) }))
	must(t, "commit", again(func() error { return bob.Commit(ctx, rollout.Whole) }))
	committed := time.Now()
	eventually(t, "the switch", func() bool { return root.Rollout().Log().Last().N >= 4 })
	if took := time.Since(committed); took > time.Second {
		t.Errorf("the root had the rules after %v, want a second at most", took)
	}
	cleo := as("cleo")
	must(t, "clean", again(func() error { return cleo.Clean(ctx) }))
	for i, left := range old {
		select {
		case <-left:
		case <-time.After(5 * time.Second):
			t.Errorf("old version %d did not leave", i)
		}
	}
	stop.Store(true)
	must(t, "load", load.Wait())
	if traces[0].Load() == 0 || traces[1].Load() == 0 {
		t.Errorf("%d traces met the old versions, %d the new ones", traces[0].Load(), traces[1].Load())
	}
	if s := cleo.Status(ctx); s.Session == nil || s.Session.State != rollout.Stopped || s.Frozen != "" ||
		len(s.Trail) != 7 {
		t.Errorf("in the end: %+v", s)
	}
}

// again repeats a step, as an operator would, when a process of a busy machine did
// not answer in time.
func again(step func() error) (err error) {
	for range 3 {
		// On a busy host, a command's list may lack a very recent registration.
		if err = step(); !errors.Is(err, operator.ErrSilent) && (err == nil ||
			!strings.Contains(err.Error(), "is registered; start one")) {
			break
		}
	}
	return err
}

// TestReadOnlyConsumer releases a service while a consumer has a request under way.
// No registry lists the consumer, because its user may only read the database. The
// request holds the old version back. The release goes on when the request ends.
func TestReadOnlyConsumer(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	site := withDatabase(lanSite(t), config.ModeDatabase, server.URL(db))
	provide(t, site, "auth", "v1")
	annWith := func(progress func(operator.Progress)) *operator.Controller {
		c := site
		c.StateDir = "none"
		return control.Releases(open(t, c, skerry.AsObserver()), control.Operator{Name: "ann", Progress: progress})
	}
	ann := annWith(nil)
	eventually(t, "auth is listed", func() bool { return ann.Start(t.Context(), "spring", "new tokens", "") == nil })

	user := server.CreateUser(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s")
	reader := withDatabase(site, config.ModeDatabase, server.UserURL(db, user))
	reader.StateDir = t.TempDir()
	root := open(t, reader)
	call := func(ctx context.Context) (string, error) {
		id, err := wire.NewInternalClient(root.Client("auth")).WhoAmI(ctx)
		if err != nil {
			return "", err
		}
		return id.Release, nil
	}
	var met string
	ctx, end := root.Begin(t.Context(), "long job")
	eventually(t, "the job has begun", func() (ok bool) { met, ok = first(call(ctx)); return ok })

	eventually(t, "the reader is known", func() bool { return root.Membership().Introduced() > 0 })

	provide(t, site, "auth", "v2")
	eventually(t, "v2 is shipped", func() bool {
		return ann.Ship(t.Context(), rollout.Module{Service: "auth", Old: "v1", New: "v2"}) == nil
	})
	must(t, "commit", ann.Commit(t.Context(), rollout.Whole))
	eventually(t, "the reader has the rules", func() bool { return root.Rollout().Log().Last().N >= 3 })

	// The test cuts the step off once it has found the request, however long that takes.
	hurry, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut := annWith(func(p operator.Progress) {
		if slices.ContainsFunc(p.Holders, func(h rollout.Blocker) bool {
			return h.Process == root.Membership().Owner().String() && h.Why == "holding"
		}) {
			cancel()
		}
	})
	if err := cut.Clean(hurry); !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(), root.Membership().Owner().String()+" is holding") {
		t.Errorf("clean while the job runs: %v", err)
	}
	if again, err := call(ctx); err != nil || again != met {
		t.Errorf("the job met %s, and then %s, %v", met, again, err)
	}
	end()
	must(t, "clean", annWith(nil).Clean(t.Context()))
	if s := annWith(nil).Status(t.Context()); len(s.Members) != 2 {
		t.Errorf("members in the end: %+v", s.Members)
	}
	must(t, "close", root.Close())
	if s := annWith(nil).Status(t.Context()); len(s.Members) != 1 {
		t.Errorf("members after its farewell: %+v", s.Members)
	}
}

func first(s string, err error) (string, bool) { return s, err == nil }
