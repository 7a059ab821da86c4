package rpc

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc/internal/echo"
)

func TestOrphans(t *testing.T) {
	for _, strict := range []bool{false, true} {
		s := newSite(t)
		s.strict = strict
		s.commit(v1, nil)
		caller, auth := s.caller("caller"), s.start("auth", "v1")
		plain := client(t, ClientConfig{}, &Endpoint{ID: "p", Addr: auth.ep.Addr})
		tc, err := plain.Service("auth", ServiceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = echo.NewEchoClient(tc).Who(t.Context())
		err2 := caller.call(t.Context(), "auth")
		if strict {
			wantCode(t, err, Orphan, NotExecuted)
			wantCode(t, err2, Orphan, NotExecuted)
			continue
		}
		if err := errors.Join(err, err2); err != nil || auth.agent.Orphans() != 1 || caller.agent.Orphans() != 1 {
			t.Errorf("%v; %d and %d orphans, want 1 and 1", err, auth.agent.Orphans(), caller.agent.Orphans())
		}
		came, left := auth.agent.Report(rollout.Question{}).Orphans, caller.agent.Report(rollout.Question{}).Orphans
		if came["auth.who"] != 1 || left["made by caller"] != 1 || len(came)+len(left) != 2 {
			t.Errorf("the reports name orphans %v and %v", came, left)
		}
	}
}

// A refused plain client at an entry of a version without a share is distinguished from one at a
// method that is not an entry.
func TestPlainClientAtAnEntryOfAnotherVersion(t *testing.T) {
	s := newSite(t)
	s.commit(map[string]rollout.Rule{"portal": {Version: "v1"}}, nil)
	next := s.start("portal", "v2")
	plain := client(t, ClientConfig{}, &Endpoint{ID: "p", Addr: next.ep.Addr})
	tc, err := plain.Service("portal", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := echo.NewEchoClient(tc).Who(t.Context()); err != nil {
		t.Fatal(err)
	}
	came := next.agent.Report(rollout.Question{}).Orphans
	if came["portal.who, an entry, called at v2, to which the rules send no request"] != 1 || len(came) != 1 {
		t.Errorf("the report names orphans %v", came)
	}
}

// TestOldTokensAreRefused: a token of skerry before 0.2, as commit 09c6cb7 sent it (generation 3, seed
// 77), executes nothing, and is counted.
func TestOldTokensAreRefused(t *testing.T) {
	log := &quietLog{}
	agent, _ := participant.New(participant.Config{Process: "h/1/a", Cluster: "site"})
	h := &handler{name: "b"}
	s := guarded(t, ServerConfig{Rollout: agent, Logger: slog.New(slog.NewTextHandler(log, nil))}, h)
	if _, err := s.Handle("auth", "v1", echo.NewEchoProcessor(h)); err != nil {
		t.Fatal(err)
	}
	c := client(t, ClientConfig{}, &Endpoint{ID: "b", Service: "auth", Addr: s.addr})
	tc, err := c.Service("auth", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := echo.NewEchoClient(tc).Who(WithBaggage(t.Context(), tracecontext.TokenMember+"=AQADTQAAAAAAAAA"))
		if wantCode(t, err, BadMessage, NotExecuted); !strings.Contains(err.Error(), "before 0.2") {
			t.Errorf("the caller is told %v", err)
		}
	}
	if n := strings.Count(log.String(), "a process of skerry before 0.2"); n != 1 || s.Stats().Older != 3 ||
		h.calls.Load() != 0 {
		t.Errorf("%d calls counted, %d executed; logged %d times:\n%s", s.Stats().Older, h.calls.Load(), n, log)
	}
}
