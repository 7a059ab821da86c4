//go:build linux

package consistency

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// TestSlowLine: processes start on a host behind a line that takes 200 ms each way for each frame.
// They learn the site's rules only after traces have begun there. No request meets a version
// against the rules.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3, onTheLAN)
	s.portals(0)
	s.serve(0, "auth-1", "auth", "v1")
	s.serve(0, "proc-1", "proc", "v1")
	s.open("ann")
	s.serve(0, "auth-2", "auth", "v2")
	s.ship("auth", "v2")
	s.release("commit")
	newest := s.log()[len(s.log())-1].Generation
	s.lan.Host(2).Line(lab.Line{Delay: 200 * time.Millisecond})
	for i := range 3 {
		s.serve(2, fmt.Sprint("proc-far-", i), "proc", "v1")
	}
	s.portals(2)
	plans := []plan{call("portal", call("auth"), call("proc", call("auth")))}
	s.users(2, "users", part{Workers: 2, Plans: plans}, 2)
	s.more(20)
	for _, p := range s.members {
		if line := p.logged("traces may begin"); p.host == 2 && line != "" {
			t.Logf("%s, the site being at %v: %s", p.Name, newest, line)
		}
	}
	s.release("clean")
	v := s.judge(100)
	if met := v.versions("auth"); strings.Contains(met, "v1") {
		t.Errorf("auth was met in %s, though v2 had been committed before", met)
	}
}

// logged returns the first line of a process's log with a phrase.
func (p *process) logged(phrase string) string {
	text, err := os.ReadFile(p.log)
	must(p.site.t, err)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, phrase) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// TestDoctorNamesTheNarrowPath: a line between two hosts loses large packets.
func TestDoctorNamesTheNarrowPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3, onTheLAN)
	s.lan.Host(1).Line(lab.Line{Most: 1400})
	s.serve(1, "auth-1", "auth", "v1")
	s.serve(2, "proc-1", "proc", "v1")
	said := s.doctor(0)
	for _, want := range []string{
		"packets over 1400 bytes to or from host1 (" + s.lan.Host(1).IP(0) + ") vanish",
		"set the MTU of interface eth0 (now 1500) to 1400",
		"full packets pass to 1 host and back",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("doctor does not say %q:\n%s", want, said)
		}
	}
}

// doctor returns the output of skerry doctor on a host.
func (s *site) doctor(host int) string {
	s.t.Helper()
	c := s.on(host, s.tool, "--config", s.configure("doctor-"+hostName(host), how{}), "doctor")
	said, err := c.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		s.t.Fatal(err)
	}
	return string(said)
}
