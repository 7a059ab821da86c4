//go:build linux

package consistency

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
)

// over ends the time in which requests may fail, after those have ended that had begun by the ended
// log.
func (p *parted) over(after time.Duration) {
	p.t.Helper()
	pause(p.t.Context(), after)
	for _, f := range p.faults {
		if f.to.IsZero() {
			f.to = time.Now()
		}
	}
	p.more(200)
}

// twoPrimaries returns a site with two primaries and two logs, after its network has become whole
// again.
func twoPrimaries(t *testing.T) (*parted, [2][]rollout.Entry) {
	t.Helper()
	s, db := onDatabase(t, 5, "auto", pgtest.Options{})
	host := s.lan.Host(4)
	standby, err := db.Standby(pgtest.Options{Host: host.IP(0), Port: 5432, Netns: host.Namespace})
	must(t, err)
	t.Cleanup(func() { must(t, standby.Close()) })
	s.lines = by("auto", pgtest.URL(db.name, db.Server, standby))
	second := &database{standby, s, db.name}
	p := partedSite(s, [2]half{
		{letter: "a", hosts: []int{0, 1}},
		{letter: "b", hosts: []int{2, 3}, lines: by("auto", pgtest.URL(db.name, standby, db.Server))},
	})
	rows, _ := db.rows()
	s.await("the standby has followed", func() bool { n, _ := second.rows(); return n == rows })

	s.fault(append(lost, "version_unavailable", "rules_needed", "canceled", "rules_forked")...)
	s.lan.Partition(0, 1, 5)
	must(t, standby.Promote())
	p.by(0, "commit")
	p.by(1, "rollback")
	p.renew()
	logs := p.logs()
	if logs[0][len(logs[0])-1].Generation != logs[1][len(logs[1])-1].Generation {
		t.Errorf("the logs end with %v and %v", logs[0][len(logs[0])-1].Generation, logs[1][len(logs[1])-1].Generation)
	}
	p.heals()
	p.more(200)
	return p, logs
}

// logs returns those of both halves.
func (p *parted) logs() (out [2][]rollout.Entry) {
	p.t.Helper()
	for i, h := range p.halves {
		p.as(h, func() { out[i] = p.logAt(h.hosts[0]) })
	}
	return out
}

// renew restarts processes of the second half while there are two logs: one with its rules, one
// with an older state, and one with none.
func (p *parted) renew() {
	p.t.Helper()
	h := p.halves[1]
	p.as(h, func() {
		for service, state := range map[string]string{"auth": "auth-v1-b", "proc": "old"} {
			p.ending(service + "-v1-b")
			p.serve(h.hosts[1], service+"-v1again-b", service, "v1", how{state: state})
		}
		p.ending("proc-v2-b")
		p.serve(h.hosts[1], "proc-v2again-b", "proc", "v2")
	})
}

// ending stops a process by its name.
func (p *parted) ending(name string) {
	p.t.Helper()
	for _, m := range p.members {
		if m.Name == name {
			m.stop()
		}
	}
}

// keeps copies the state directory of a process under another name.
func (s *site) keeps(of, as string) {
	s.t.Helper()
	out, err := exec.Command("cp", "-a", filepath.Join(s.dir, of+"-state"),
		filepath.Join(s.dir, as+"-state")).CombinedOutput()
	if err != nil {
		s.t.Fatalf("copy the state of %s: %v: %s", of, err, out)
	}
}

// insistOn is insist of an operator on some host.
func (s *site) insistOn(host int, step ...string) {
	s.t.Helper()
	for range 10 {
		said, err := s.operator(host, step...).done()
		if err == nil {
			return
		}
		s.t.Logf("%v: %s", step, said)
		pause(s.t.Context(), time.Second)
	}
	s.t.Fatalf("%v: it does not succeed", step)
}
