//go:build linux

package consistency

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// by reports whether a span ran in a process with that name.
func (n note) by(name string) bool { return strings.HasPrefix(n.ID, name+"#") }

// TestAddressOfADeadHost: a host dies with all of its processes, undetected. Within seconds another
// machine has its address and ports, while the dead processes' leases run for 90 s. There run
// another version, a process of another cluster, and a plain server in place of an announced one.
// None of them executes a call of the old host's callers, also when a firewall there hides that the
// announcer is gone.
func TestAddressOfADeadHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode     string
		firewall bool
	}{{"database", false}, {"auto", false}, {"database", true}} {
		t.Run(fmt.Sprintf("%s/firewall=%v", c.mode, c.firewall), func(t *testing.T) {
			t.Parallel()
			addressMoves(t, c.mode, c.firewall)
		})
	}
}

func addressMoves(t *testing.T, mode string, firewall bool) {
	const callers, died, later = 0, 1, 2
	s, d := onDatabase(t, 3, mode, pgtest.Options{})
	s.lines = fmt.Sprintf("mode: %s\nlan: {key: %s}\ndatabase: {url: %q, heartbeat: 5s, expiry: 90s, poll: 2s}\n%s",
		mode, lab.SiteKey,
		d.URL(d.name), `consumers: {"*": {version: v1, timeout: 1s, wait: 100ms, breaker: {off: true}}}
rollout: {orphans: migrate}
stop: {grace: 100ms, drain: 5s}
stats: {interval: none}
`)
	services := map[string]int{"auth": 7001, "mail": 7002, "legacy": 7003}
	listen := func(service, version string) how {
		return how{lines: fmt.Sprintf("%sservice: {name: %s, version: %s, listen: \":%d\"}\n", s.lines, service,
			version, services[service])}
	}
	provider := func(host int, name, service, version string) *process {
		return s.start(host, part{Role: "hop", Name: name, Service: service, Version: version},
			listen(service, version))
	}
	server := func(host int, name string) *process {
		return s.start(host, part{Role: "plain", Name: name, Service: "legacy", Version: "v1", Listen: ":7003"}, how{})
	}
	dies := []*process{provider(died, "right-auth", "auth", "v1"), provider(died, "right-mail", "mail", "v1"),
		server(died, "right-legacy")}
	announcer := s.lan.Host(died).StartCommand(s.on(died, s.tool, "--config", s.configure("announcer", how{}),
		"announce",
		"--service", "legacy", "--version", "v1", "--addr", s.lan.Host(died).IP(0)+":7003"))
	for service := range services {
		d.await(service, "v1")
		s.job(callers, "callers-of-"+service, part{Workers: 8, Plans: []plan{call("", call(service))}})
	}
	for service := range services {
		s.await("calls of "+service, func() bool {
			return s.book.count(began, func(n note) bool { return n.by("right-" + service) }) > 300
		})
	}

	s.lan.Host(died).Cut() // before its processes end, so that no packet shows it
	announcer.Kill()
	for _, p := range dies {
		p.Kill()
	}
	s.lan.Host(died).Disconnect(0)
	next := s.lan.Host(later)
	if firewall {
		next.Run("nft",
			"add table inet wall; add chain inet wall in { type filter hook input priority 0; policy accept; }; "+
				"add rule inet wall in ip daddr "+s.lan.Host(died).IP(0)+" tcp dport != 7001-7003 drop")
	}
	next.Run("ip", "addr", "add", s.lan.Host(died).IP(0)+"/24", "dev", "eth0")
	s.lan.Host(callers).Run("ip", "neigh", "flush", "dev", "eth0") // like a gratuitous ARP of the new host
	provider(later, "wrong-auth", "auth", "v2")
	cluster := s.cluster
	s.cluster = "another"
	provider(later, "wrong-mail", "mail", "v1")
	s.cluster = cluster
	server(later, "wrong-legacy")

	moved := time.Now()
	after := func(n note) bool { return n.At.After(moved) }
	for service := range services {
		of := func(n note) bool { return after(n) && strings.HasPrefix(n.Trace, "callers-of-"+service+"/") }
		s.await("calls of "+service+" after that", func() bool { return s.book.count(asked, of) > 1000 })
		if n := s.book.count(began, func(n note) bool { return n.by("wrong-" + service) }); n > 0 {
			t.Errorf("%d calls of %s were executed by the process that has its address now", n, service)
		}
		if n := s.book.count(asked, func(n note) bool { return of(n) && n.Code == "" }); n > 0 {
			t.Errorf("%d calls of %s were answered", n, service)
		}
	}
	t.Logf("%d calls in %v, and 0 executed", s.book.count(asked, after), time.Since(moved).Round(time.Second))
}
