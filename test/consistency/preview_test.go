//go:build linux

package consistency

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// previewPolicy copies the calls of proc to the open release, and brings the tenant beta to it.
const previewPolicy = `policy: 1
services:
  proc:
    idempotent: [visit]
    mirror:
      - {match: {method: visit, percent: 60}, to: {mark: preview}, expires: 1h}
  auth:
    idempotent: [visit]
lanes:
  - {name: beta, match: {tenant: beta}, gets: preview}
`

// TestCopiesBeforeACommit: a version is tried with copies of users' calls before any user meets it. The copies meet
// the new versions of all services of the release, and their messages to a service that may not be called twice are
// refused. The operator is told that the copies fail in one of the versions; the guard of the ramp, which watches
// users, is not misled. A tenant with a lane meets the release while it is open, and what all meet after its commit
// and after the roll back of the next one. Without an open release nothing is copied.
func TestCopiesBeforeACommit(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3, onTheLAN)
	s.portals(0)
	s.serve(1, "auth-1", "auth", "v1")
	s.serve(2, "proc-1", "proc", "v1")
	s.serve(2, "mail-1", "mail", "v1")
	s.users(1, "users", part{Workers: 6, Tenants: []string{"", "beta", ""}, Plans: []plan{
		call("portal", call("proc", call("auth"))),
		call("portal", call("proc", post("mail"))),
	}}, 0)
	path := filepath.Join(s.dir, "policy.yaml")
	must(t, os.WriteFile(path, []byte(previewPolicy), 0o600))
	s.command(0, "policy", "--yes", "--by", "ann", "apply", path).must()
	s.more(100)
	copies := func() int {
		return s.book.count(began, func(n note) bool { return strings.Contains(n.Trace, copied) })
	}
	if n := copies(); n > 0 {
		t.Errorf("%d calls were copied without a release", n)
	}

	s.open("ann")
	s.serve(1, "auth-2", "auth", "v2", how{failsCopies: true})
	s.serve(2, "proc-2", "proc", "v2")
	s.ship("auth", "v2")
	s.ship("proc", "v2")
	shipped := time.Now()
	s.await("the release's versions are copied to", func() bool {
		return s.book.count(began, func(n note) bool {
			return strings.Contains(n.Trace, copied) && met("auth", "v2")(n)
		}) > 60
	})
	said := s.copies()
	for _, service := range []string{"auth", "proc"} {
		if c := said[service]; c.Calls < 20 || (c.Failed > c.Calls/2) != (service == "auth") {
			t.Errorf("status says of the copies of calls to %s: %+v", service, c)
		}
	}
	if said, err := s.operator(0, "validate").done(); err == nil || strings.Contains(said, "to proc/v2") ||
		!strings.Contains(said, "copies of calls to auth/v2") {
		t.Errorf("validate: %v\n%s", err, said)
	}
	watched := s.release("commit", "--ramp", "50,100", "--every", "3s", "--max-failures", "4%", "--min-calls", "20")
	if !strings.Contains(watched, "note: of ") || !strings.Contains(watched, "auth/v2 is well") {
		t.Errorf("the guard was told of copies, or the operator was not:\n%s", watched)
	}
	s.release("clean")
	s.open("bob")
	s.serve(1, "auth-3", "auth", "v3")
	s.ship("auth", "v3")
	s.await("the tenant meets the next version", func() bool {
		return s.book.count(began, func(n note) bool {
			return tenantOf(n.Trace) == "beta" && met("auth", "v3")(n)
		}) > 10
	})
	s.release("rollback")
	s.release("clean")
	over := time.Now()
	s.more(100)
	v := s.judge(500)
	s.tried(v, shipped, over)
}

// copiesSaid is what status says of the copies of calls to a version.
type copiesSaid struct {
	Service       string
	Made          bool
	Calls, Failed int
}

// copies returns what the processes of new versions have counted of copies, by service.
func (s *site) copies() map[string]copiesSaid {
	s.t.Helper()
	out, err := s.on(0, s.tool, "--config", s.configure("reader", how{}), "--json", "release", "status").Output()
	must(s.t, err)
	var status struct{ Copies []copiesSaid }
	must(s.t, json.Unmarshal(out, &status))
	said := map[string]copiesSaid{}
	for _, c := range status.Copies {
		if !c.Made {
			said[c.Service] = c
		}
	}
	return said
}

// tried checks what copies and the tenant have met.
func (s *site) tried(v verdict, shipped, over time.Time) {
	t := s.t
	t.Helper()
	marks := map[string]bool{}
	var switched time.Time
	for _, e := range v.history.Entries {
		if e.Session != nil {
			marks[e.Session.Mark] = true
			if e.Session.State == rollout.Switched && switched.IsZero() {
				switched = e.At
			}
		}
	}
	copies, tenant, mail := map[string]int{}, map[string]int{}, 0
	for _, span := range v.history.Spans {
		of := span.Service + "/" + span.Version
		switch isCopy := strings.Contains(span.Trace, copied); {
		case span.Begin.IsZero():
		case isCopy && span.Service == "mail":
			t.Errorf("a copy has sent a message: %+v", span)
		case isCopy:
			if span.Version == "v1" && !span.Token.Generation.Before(v.entry("ship proc").Generation) {
				t.Errorf("a copy has met %s, which is not of the release: %+v", of, span)
			}
			if copies[of]++; !marks[span.Token.Mark] || span.Begin.After(over) && span.Begin.Sub(over) > 2*time.Second {
				t.Errorf("a copy has met %s by the mark %q at %v", of, span.Token.Mark, span.Begin)
			}
		case span.Service == "mail":
			mail++
		case span.Service == "auth" && tenantOf(span.Trace) == "beta" && span.Begin.Before(switched):
			if span.Begin.After(shipped.Add(time.Second)) {
				tenant["open: "+span.Version]++
			}
		case span.Service == "auth" && tenantOf(span.Trace) == "beta" && span.Begin.After(over):
			tenant["over: "+span.Version]++
			if span.Token.Mark != "" {
				t.Errorf("after the release the tenant has the mark %q", span.Token.Mark)
			}
		}
	}
	t.Logf("copies met %v, the tenant %v; %d messages of users", copies, tenant, mail)
	if copies["proc/v2"] < 20 || copies["auth/v2"] < 20 || mail < 20 {
		t.Errorf("copies met %v, and users sent %d messages", copies, mail)
	}
	if tenant["open: v1"] > 0 || tenant["open: v2"] == 0 || tenant["over: v2"] == 0 || len(tenant) != 2 {
		t.Errorf("the tenant met %v", tenant)
	}
	refusals := 0
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	for _, n := range s.book.ends {
		if n.Code == "shadow" {
			refusals++
		}
	}
	if refusals < 20 {
		t.Errorf("%d copies ended at a message that they may not send", refusals)
	}
}
