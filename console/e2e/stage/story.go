package stage

import (
	"strconv"
	"strings"
	"time"
)

// policies are texts of the site's policy, one after another.
var policies = []struct{ why, text string }{
	{"verify answers slowly under load", `policy: 1
services:
  auth:
    timeout: 500ms
`},
	{"proc may repeat what db did not answer", `policy: 1
services:
  auth:
    timeout: 500ms
  db:
    timeout: 800ms
    access: {mode: audit, default: deny, allow: [{caller: proc}, {caller: archive}]}
plans:
  storm:
    why: more orders than usual
    services:
      auth: {timeout: 1s}
`},
}

// Steer gives the site a past of two policies.
func (s *Site) Steer(t T) {
	t.Helper()
	for i, p := range policies {
		s.Command(t, p.text, "policy", "apply", "-", "--why", p.why, "--by", "li", "--yes", "--on", strconv.Itoa(i))
	}
}

// Release opens a release of auth and proc, whose new versions half of the users meet.
func (s *Site) Release(t T) {
	t.Helper()
	release := func(args ...string) {
		s.Command(t, "", append(append([]string{"release"}, args...), "--by", "wang", "--yes")...)
	}
	release("start", "--reason", "new format of tokens")
	for _, service := range []string{"auth", "proc"} {
		release("config", "put", service, "max_failures=1%", "max_p99=2s", "min_calls=50")
		s.Serve(service, "v2", "ops-4")
		s.Serve(service, "v2", "ops-2")
		release("ship", service, "--version", "v2", "--wish", "2")
	}
	s.start("commit", "ops-1", func(string) {}, "skerry", "release", "commit", "-c", s.config("commit", ""), "--ramp",
		"50,100", "--every", "1h", "--by", "wang", "--yes")
	for end := time.Now().Add(commandLimit); ; time.Sleep(time.Second) {
		status := s.Command(t, "", "release", "status")
		if strings.Contains(status, "RAMPING at 50%") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the release is not at 50%% after %v:\n%s", commandLimit, status)
		}
	}
}
