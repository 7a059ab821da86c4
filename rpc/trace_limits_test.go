package rpc

import (
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// A trace that has run for too long after a release is refused on both sides. One without a call
// begins anew, unseen.
func TestWhatHasExpiredIsRefused(t *testing.T) {
	s := newSite(t)
	s.commit(v1, nil)
	caller, auth := s.caller("caller"), s.start("auth", "v1")
	s.start("auth", "v2")
	seen, end := caller.begin(t.Context(), 1)
	defer end()
	fresh, end2 := caller.begin(t.Context(), 2)
	defer end2()
	if err := caller.call(seen, "auth"); err != nil {
		t.Fatal(err)
	}
	s.commit(v2, nil, caller, auth)
	auth.agent.Expire(s.rules.Last())
	wantCode(t, caller.call(seen, "auth"), Expired, NotExecuted)
	caller.agent.Expire(s.rules.Last())
	wantCode(t, caller.call(seen, "auth"), Expired, NotExecuted)
	if auth.executed.Load() != 1 {
		t.Errorf("v1 executed %d calls", auth.executed.Load())
	}
	if err := caller.call(fresh, "auth"); err != nil {
		t.Errorf("a root that no process has seen: %v", err)
	}
	s.check()
}

func TestWhatWasForswornIsRefused(t *testing.T) {
	s := newSite(t)
	caller := s.caller("caller")
	s.start("auth", "v1")
	ctx, end := caller.begin(t.Context(), 1)
	defer end()
	participant.TraceFrom(ctx).RestrictCalls("db", "auth")
	if err := caller.call(ctx, "auth"); err != nil {
		t.Fatal(err)
	}
	participant.TraceFrom(ctx).RestrictCalls("db", "mail") // of the two, the process calls db
	wantCode(t, caller.call(ctx, "auth"), CallRestricted, NotExecuted)
	wantCode(t, caller.call(ctx, "mail"), CallRestricted, NotExecuted)
}

// A process that makes a client counts as a caller of its service before its first call.
func TestClientsMakeTheCallGraph(t *testing.T) {
	s := newSite(t)
	portal := s.start("portal", "v1")
	portal.stub("auth")
	var graph rollout.Graph
	r := portal.agent.Report(rollout.Question{})
	graph.Add(r)
	graph.Add(rollout.Report{Serves: []string{"auth"}, Calls: []string{"db"}})
	graph.Add(rollout.Report{Serves: []string{"db"}, Calls: []string{}})
	if path := graph.Path(r, rollout.Inflight{What: "portal.get"}, "db"); len(path) != 3 {
		t.Errorf("from the portal to db: %v", path)
	}
	if path := graph.Path(r, rollout.Inflight{What: "portal.get"}, "mail"); path != nil {
		t.Errorf("from the portal to mail: %v", path)
	}
}
