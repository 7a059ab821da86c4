package stage

import "strconv"

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

// Steer gives the site a past of two policies.
func (s *Site) Steer(t T) {
	t.Helper()
	for i, p := range policies {
		s.Command(t, p.text, "policy", "apply", "-", "--why", p.why, "--by", "li", "--yes", "--on", strconv.Itoa(i))
	}
}

// Release opens a release of auth and proc, which is shipped, and met by verifiers only.
func (s *Site) Release(t T) {
	t.Helper()
	s.Command(t, "", "release", "start", "--reason", "new format of tokens", "--by", "wang", "--yes")
	for _, service := range []string{"auth", "proc"} {
		s.Serve(service, "v2", "ops-4")
		s.Serve(service, "v2", "ops-2")
		s.Command(t, "", "release", "ship", service, "--version", "v2", "--wish", "2", "--by", "wang", "--yes")
	}
}
