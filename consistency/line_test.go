//go:build linux

package consistency

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// TestSlowLine: processes start on a host behind a line on which each frame
// takes 200 ms each way. None begins a trace by older rules than the site has.
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
	for i := range 4 {
		p := s.serve(2, fmt.Sprint("proc-far-", i), "proc", "v1")
		s.await(p.Name+" begins", func() bool { return p.logged("traces may begin") != "" })
		if line := p.logged("traces may begin"); !strings.Contains(line, " rules="+newest.String()+" ") {
			t.Errorf("the site is at %v: %s", newest, line)
		}
	}
	s.portals(2)
	s.users(1, "users", part{Workers: 2, Plans: []plan{call("portal", call("auth"), call("proc", call("auth")))}}, 0, 2)
	s.release("clean")
	v := s.judge(50)
	t.Logf("auth met in %s", v.versions("auth"))
}

// logged is the first line of a process's log that holds a phrase.
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
