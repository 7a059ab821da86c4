package rpc

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// feedAt starts a process of the service feed, of which a stream lives until its handler's context ends.
func feedAt(s *site, version string, grace time.Duration) (p *process, moving *atomic.Int64) {
	s.t.Helper()
	moving = new(atomic.Int64)
	p = s.start("hub", version)
	p.server.streams.limits.Move = grace
	f := &feedHandler{watch: func(ctx context.Context, _ *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
		if err := out.Send(ctx, message(1)); err != nil {
			return err
		}
		select {
		case <-Moving(ctx):
			moving.Add(1)
		case <-ctx.Done():
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	if _, err := p.server.Handle("feed", version, f.processor()); err != nil {
		s.t.Fatal(err)
	}
	s.list(&Endpoint{ID: p.name + "-feed", Service: "feed", Version: version, Addr: p.ep.Addr})
	return p, moving
}

// watchIn opens a stream in a trace, and waits for its first item.
func watchIn(t *testing.T, p *process, tr *participant.Trace) *ServerStream[*echo.Message] {
	t.Helper()
	tc, err := p.client.Service("feed", ServiceOptions{Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if tr != nil {
		ctx = tr.Context(ctx)
	}
	st, err := openWatch(ctx, tc, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// isMoving reports whether a stream is told to move.
func isMoving[T any](st *ServerStream[T]) bool {
	select {
	case <-st.Moving():
		return true
	default:
		return false
	}
}

// TestReleaseMovesStreams: at a switch, streams of traces of their own are told to move at both ends, and those that
// their callers follow are cut after the grace. Streams of a handler's trace keep their version.
func TestReleaseMovesStreams(t *testing.T) {
	const grace = 100 * time.Millisecond
	s := newSite(t)
	s.commit(map[string]rollout.Rule{"feed": {Version: "v1"}}, nil)
	caller := s.caller("caller")
	old, moving := feedAt(s, "v1", grace)
	next, _ := feedAt(s, "v2", grace)

	inHandler := &participant.Trace{}
	caller.agent.Origin("caller.serve", "caller/v1").Begin(inHandler, 1, "")
	defer inHandler.End()
	job, follow := caller.agent.Begin("job", 1, ""), caller.agent.Follow("follow", 1, "")
	defer job.End()
	held, own, orphan, followed := watchIn(t, caller, inHandler), watchIn(t, caller, job), watchIn(t, caller, nil),
		watchIn(t, caller, follow)
	follow.End()
	for name, st := range map[string]*ServerStream[*echo.Message]{
		"in a handler": held, "own": own, "without a trace": orphan, "followed": followed,
	} {
		if isMoving(st) || st.Version() != "v1" {
			t.Errorf("%s: moving %v at %s before the switch", name, isMoving(st), st.Version())
		}
	}

	s.commit(map[string]rollout.Rule{"feed": {Version: "v2"}}, nil, old, next, caller)
	switched := time.Now()
	if _, err := followed.Recv(t.Context()); CodeOf(err) != Moved {
		t.Errorf("the followed stream ended with %v", err)
	}
	if took := time.Since(switched); took < grace {
		t.Errorf("cut after %v, before the grace was over", took)
	}
	eventually(t, "handlers know", func() bool { return moving.Load() == 3 })
	if !isMoving(own) || !isMoving(orphan) || !isMoving(followed) || isMoving(held) {
		t.Errorf("moving: own %v, without a trace %v, followed %v, in a handler %v",
			isMoving(own), isMoving(orphan), isMoving(followed), isMoving(held))
	}
	eventually(t, "three streams are left", func() bool { return old.server.Stats().Streams == 3 })

	if st := watchIn(t, caller, caller.agent.Follow("follow", 1, "")); st.Version() != "v2" || isMoving(st) {
		t.Errorf("opened again at %s, moving %v", st.Version(), isMoving(st))
	}
	if n := old.server.CutMoved("feed", "v2") + next.server.CutMoved("feed", "v2"); n != 0 {
		t.Errorf("%d streams of the version that calls go to are cut", n)
	}
	if n := old.server.CutMoved("feed", "v1"); n != 2 {
		t.Errorf("%d streams are cut that were told to move, want 2", n)
	}
	for _, st := range []*ServerStream[*echo.Message]{own, orphan} {
		if _, err := st.Recv(t.Context()); CodeOf(err) != Moved {
			t.Errorf("an operator has ended a stream: %v", err)
		}
	}
	if isMoving(held) {
		t.Error("a stream of a handler's trace is told to move")
	}
	held.Close()
	eventually(t, "nothing runs at v1", func() bool {
		return old.agent.Report(rollout.Question{}).Running["feed/v1"] == 0
	})
}

// TestStreamOpenedByOldRules: a stream that is opened at the old version after the switch, by a caller that has not
// learnt of it, is told to move at once.
func TestStreamOpenedByOldRules(t *testing.T) {
	s := newSite(t)
	s.commit(map[string]rollout.Rule{"feed": {Version: "v1"}}, nil)
	caller := s.caller("caller")
	old, _ := feedAt(s, "v1", time.Hour)
	s.commit(map[string]rollout.Rule{"feed": {Version: "v2"}}, nil, old)
	st := watchIn(t, caller, caller.agent.Follow("follow", 1, ""))
	<-st.Moving()
	st.Close()
}
