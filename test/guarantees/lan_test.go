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

// TestNewInstanceOnTheLAN: with loss no bound holds for every single consumer, because connecting
// takes packets as well. The bound holds for the first call and for two thirds of the consumers.
// All others follow.
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

// cutHost pulls the cable of a provider's host and measures how long callers continue to call it.
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

// twoNetworks has a provider on a host in two networks, with a consumer in each,
// and measures when the consumer in the second network is answered, and how many
// calls fail after that. The cable of the second network is plugged in late.
func twoNetworks(t *testing.T, extra string) {
	l := lab.New(t, 3, lab.Second(1))
	s := newSite(t, extra)
	s.command = func(host int, name string, args ...string) *exec.Cmd { return l.Host(host).Command(name, args...) }
	l.Host(0).Disconnect(1)
	l.Host(2).Disconnect(0)
	l.Host(2).Connect("eth1", 1)
	s.provider("both", how{host: 0})
	s.consumer("first", how{host: 1})
	s.consumer("second", how{host: 2})
	answered := func(name string) func() bool {
		return func() bool { return !s.journal.firstAnswerTo(name, "both").IsZero() }
	}
	eventually(t, 10*time.Second, "the consumer in the first network is answered", answered("first"))
	time.Sleep(3 * time.Second)
	if answered("second")() {
		t.Fatal("the consumer in the second network is answered without a cable: the scene proves nothing")
	}
	l.Host(0).Connect("eth1", 1)
	plugged := time.Now()
	eventually(t, 20*time.Second, "the consumer in the second network is answered", answered("second"))
	t.Logf("answered in the second network %v after the cable was plugged in",
		time.Since(plugged).Round(time.Millisecond))
	begun := time.Now().Add(time.Second)
	time.Sleep(4 * time.Second)
	for _, r := range s.journal.failures(begun, time.Now()) {
		t.Errorf("a call failed: %s", r.text)
	}
	if n := len(s.journal.calls(func(r record) bool { return r.start.After(begun) && !r.failed() })); n < 500 {
		t.Errorf("only %d calls: the scene proves nothing", n)
	}
}

// TestHostInTwoNetworks: a service that listens at all addresses of a host in two
// networks is called from both, without any setting.
func TestHostInTwoNetworks(t *testing.T) {
	t.Parallel()
	t.Run("broadcast", func(t *testing.T) {
		t.Parallel()
		twoNetworks(t, onTheLAN)
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		pg := pgtest.Shared(t)
		twoNetworks(t, fmt.Sprintf("mode: database\ndatabase: {url: %q}", pg.SocketURL(pg.CreateDB(t))))
	})
	t.Run("auto", func(t *testing.T) {
		t.Parallel()
		pg := pgtest.Shared(t)
		twoNetworks(t, fmt.Sprintf("database: {url: %q}", pg.SocketURL(pg.CreateDB(t))))
	})
}
