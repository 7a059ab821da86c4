//go:build linux

package consistency

import (
	"strings"
	"testing"
	"time"
)

// TestHostWithoutAnAddress: a provider starts on a host that has no address but the loopback one, as at a
// boot before DHCP, gets one, loses it, and gets it again. Its caller's own host offers another version at
// the same port, which executes none of its calls. The log of the provider says that no other host is told
// of it. It is called as soon as it has its address.
func TestHostWithoutAnAddress(t *testing.T) {
	t.Parallel()
	const callers, boots = 0, 1
	short := strings.NewReplacer("timeout: 30s, wait: 3s", "version: v1, timeout: 2s, wait: 100ms",
		"connect_timeout: 3s", "connect_timeout: 1s")
	s := newSite(t, 2, short.Replace(migrating(onTheLAN)))
	serve := func(host int, name, version string) *process {
		return s.start(host, part{Role: "hop", Name: name, Service: "auth", Version: version},
			how{extra: "service: {name: auth, version: " + version + ", listen: \":7001\"}\n"})
	}
	wrong := func(n note) bool { return n.by("wrong") }
	right := func(n note) bool { return n.by("right") }
	serve(callers, "wrong", "v2")
	cable := s.lan.Host(boots)
	addressless := func(what string) {
		t.Helper()
		from := time.Now()
		after := func(n note) bool { return n.At.After(from) }
		s.await("calls "+what, func() bool { return s.book.count(asked, after) > 300 })
		if n := s.book.count(began, wrong); n > 0 {
			t.Fatalf("%s: %d calls were executed by the caller's own host", what, n)
		}
		if n := s.book.count(asked, func(n note) bool { return after(n) && n.Code == "" }); n > 0 {
			t.Errorf("%s: %d calls were answered, though the host could not be reached", what, n)
		}
	}
	addressed := func(what string) {
		t.Helper()
		cable.Run("ip", "addr", "add", cable.IP(0)+"/24", "dev", "eth0")
		from := time.Now()
		s.await("calls "+what, func() bool {
			return s.book.count(began, func(n note) bool { return right(n) && n.At.After(from) }) > 50
		})
		t.Logf("%s: called after %v", what, s.book.first(began, func(n note) bool {
			return right(n) && n.At.After(from)
		}).Sub(from).Round(time.Millisecond))
	}

	cable.Run("ip", "addr", "flush", "dev", "eth0", "scope", "global")
	provider := serve(boots, "right", "v1")
	s.job(callers, "callers", part{Workers: 8, Plans: []plan{call("", call("auth"))}})
	addressless("before the address")
	s.await("the log says it", func() bool { return provider.logged("no other host is told") != "" })
	addressed("with an address")
	cable.Run("ip", "addr", "flush", "dev", "eth0", "scope", "global")
	pause(t.Context(), 3*time.Second) // calls that were under way end, and the address is looked for anew
	addressless("after it was lost")
	addressed("with the address again")
	if n := s.book.count(began, wrong); n > 0 {
		t.Errorf("%d calls were executed by the caller's own host", n)
	}
}

// first returns the time of the first such note.
func (b *book) first(kind string, keep func(note) bool) time.Time { return b.of(kind, keep)[0].At }
