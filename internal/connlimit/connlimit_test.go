package connlimit

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// host is an address of a host.
func host(n int) net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, byte(n>>8), byte(n)), Port: 4000} }

// enter lets connections of a host in, one each millisecond, and frees the places of those that must go.
func enter(l *Limiter[string], from net.Addr, n int) (kept []*Place[string], out []string) {
	for i := range n {
		p, gone := l.Enter(from, fmt.Sprint(from, " ", i))
		if gone != nil {
			out = append(out, gone.Conn)
			gone.Leave()
		}
		if gone != p {
			kept = append(kept, p)
		}
		time.Sleep(time.Millisecond)
	}
	return kept, out
}

// TestPressure: below ¾ of the limit nothing goes, then the oldest fresh connection of the address with most, and at
// the limit the one that has waited longest.
func TestPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New[string](100, 0)
		served, _ := enter(l, host(1), 60)
		for _, p := range served {
			p.Answered()
			p.Waits(true)
		}
		silent, out := enter(l, host(2), 15)
		if out != nil {
			t.Errorf("with room %q go", out)
		}
		time.Sleep(freshFor)
		newer, out := enter(l, host(3), 3)
		if len(out) != 3 || out[0] != fmt.Sprint(host(2), " 0") || l.Open() != 75 {
			t.Errorf("under pressure %q go, %d are open", out, l.Open())
		}
		for _, p := range append(silent, newer...) {
			p.Answered()
		}
		served[0].Waits(false) // a request begins
		for l.Open() < 100 {
			p, _ := enter(l, host(5), 1)
			p[0].Answered()
		}
		if _, out := enter(l, host(6), 1); len(out) != 1 || out[0] != served[1].Conn {
			t.Errorf("at the limit %q go, want the one that has waited longest", out)
		}
	})
}

// TestNothingToSpare: where all connections are in use, the new one goes.
func TestNothingToSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New[string](10, 0)
		used, _ := enter(l, host(1), 10)
		for _, p := range used {
			p.Answered()
		}
		if p, out := l.Enter(host(2), "new"); out != p {
			t.Errorf("%v goes", out)
		} else {
			out.Leave()
			out.Leave() // once counts
		}
		if l.Open() != 10 {
			t.Errorf("%d are open", l.Open())
		}
	})
}

// TestOneAddress: the limit of an address acts among its own connections, and the networks of IPv6 are addresses.
func TestOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New[string](100, 8)
		others, _ := enter(l, host(1), 4)
		for i := range 40 {
			at := &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("2001:db8::%x", i+1)), Port: 4000}
			if _, out := enter(l, at, 1); len(out) > 0 && out[0] == others[0].Conn {
				t.Error("another address has lost a connection")
			}
		}
		if l.Open() != 4+8 {
			t.Errorf("%d are open, want 4 and 8", l.Open())
		}
		for _, p := range others {
			p.Leave()
		}
		if len(l.sources) != 1 || l.fresh.Len() != 1 {
			t.Errorf("%d addresses are known, %d in the heap", len(l.sources), l.fresh.Len())
		}
	})
}
