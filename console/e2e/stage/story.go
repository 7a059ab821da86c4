package stage

import "time"

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
plans:
  storm:
    why: more orders than usual
    services:
      auth: {timeout: 1s}
`},
}

// Tell gives the site a past: policies, a plan that is on, and a release of auth and proc that half of the users meet.
// It ends when the pages show it.
func (s *Site) Tell(t T) {
	t.Helper()
	for i, p := range policies {
		s.Command(t, p.text, "policy", "apply", "-", "--why", p.why, "--by", "li", "--yes", "--on", string(rune('0'+i)))
	}
	for _, service := range []string{"auth", "proc"} {
		s.Serve(service, "v2", "ops-4")
		s.Serve(service, "v2", "ops-2")
	}
	s.Command(t, "", "release", "start", "--reason", "new format of tokens", "--by", "wang", "--yes")
	s.Command(t, "", "release", "ship", "auth", "--version", "v2", "--wish", "2", "--by", "wang", "--yes")
	s.Command(t, "", "release", "ship", "proc", "--version", "v2", "--wish", "2", "--by", "wang", "--yes")
	time.Sleep(time.Second)
}
