//go:build linux

package guarantees

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// The scenes of a network of hosts.

// newLANSite is a site with its processes on the hosts of a lab.
func newLANSite(t *testing.T, hosts int, extra string) (*site, *lab.LAN) {
	l := lab.New(t, hosts)
	s := newSite(t, extra)
	s.command = func(host int, name string, args ...string) *exec.Cmd { return l.Host(host).Command(name, args...) }
	return s, l
}

// TestNewInstanceOnTheLAN: with loss no bound holds for every single consumer,
// as connecting takes packets too; it holds for the first call and for two
// thirds of the consumers, and all follow.
func TestNewInstanceOnTheLAN(t *testing.T) {
	for _, tc := range []struct {
		loss  float64
		bound time.Duration
		late  int // consumers that may be late
	}{{0, time.Second, 0}, {10, 3 * time.Second, 2}} {
		t.Run(fmt.Sprintf("loss %v %%", tc.loss), func(t *testing.T) {
			t.Parallel()
			s, l := newLANSite(t, 8, onTheLAN)
			l.Loss(tc.loss)
			s.provider("first", how{host: 0})
			for host := 1; host < 7; host++ {
				s.consumer(fmt.Sprint("caller", host), how{host: host, callers: 2, pause: 10 * time.Millisecond})
			}
			s.warm("first")
			s.provider("second", how{host: 7})
			serving := s.journal.at("second", "serve")
			late := 0
			for host := 1; host < 7; host++ {
				name := fmt.Sprint("caller", host)
				eventually(t, 20*time.Second, name+" is answered by the second provider", func() bool {
					return !s.journal.firstAnswerTo(name, "second").IsZero()
				})
				took := s.journal.firstAnswerTo(name, "second").Sub(serving)
				t.Logf("%s: %v", name, took.Round(time.Millisecond))
				if took > tc.bound {
					late++
				}
			}
			if late > tc.late {
				t.Errorf("%d of 6 consumers called the new instance after more than %v", late, tc.bound)
			}
			if first := s.journal.firstAnswer("second").Sub(serving); first > tc.bound {
				t.Errorf("the first call reached the new instance after %v, want at most %v", first, tc.bound)
			}
		})
	}
}

// cutHost pulls the cable of a provider's host and measures how long callers
// go on calling it.
func cutHost(t *testing.T, s *site, l *lab.LAN) {
	s.provider("stays", how{host: 0})
	s.provider("cut", how{host: 1})
	s.consumer("caller", how{host: 2})
	s.warm("stays", "cut")
	at := time.Now()
	l.Host(1).Cut()
	time.Sleep(8 * time.Second)
	late := s.journal.failures(at.Add(3*time.Second), time.Now())
	all := s.journal.failures(at.Add(-2*time.Second), time.Now())
	t.Logf("%d calls failed in the first 3 s, %d later", len(all)-len(late), len(late))
	if len(all) > 0 {
		t.Logf("the last of them began %v after the cut", all[len(all)-1].start.Sub(at).Round(time.Millisecond))
	}
	for _, r := range late {
		t.Errorf("a call failed %v after the cut: %s", r.start.Sub(at), r.text)
	}
	if n := len(s.journal.calls(func(r record) bool {
		return r.start.After(at.Add(3*time.Second)) && !r.failed()
	})); n < 500 {
		t.Errorf("only %d calls after that: the scene proves nothing", n)
	}
	l.Host(1).Heal()
	healed := time.Now()
	eventually(t, 20*time.Second, "the healed host is called again", func() bool {
		return s.journal.lastAnswer("cut").After(healed)
	})
}

func TestHostCutOffIsAvoided(t *testing.T) {
	t.Parallel()
	t.Run("broadcast", func(t *testing.T) {
		t.Parallel()
		s, l := newLANSite(t, 3, onTheLAN)
		cutHost(t, s, l)
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		pg := pgtest.Shared(t)
		s, l := newLANSite(t, 3, fmt.Sprintf("mode: database\ndatabase: {url: %q}", pg.SocketURL(pg.CreateDB(t))))
		cutHost(t, s, l)
	})
}
