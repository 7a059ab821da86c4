package broadcast

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
)

// TestRefusalsAreToldOnce: each refusal is counted, and logged once with the address and the
// operator's step.
func TestRefusalsAreToldOnce(t *testing.T) {
	var log bytes.Buffer
	r, err := New(Config{Cluster: "site", Owner: sender, Open: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	old := packetsOfBefore(t)
	wrong, _ := newCodec("site", ring("other")).seal(samples()[0])
	r.loopbackOnly = false
	for range 100 {
		for _, data := range old {
			r.ingest(data, ingress{from: netip.MustParseAddrPort("10.0.0.7:7800")})
		}
		r.ingest(wrong, ingress{from: netip.MustParseAddrPort("10.0.0.8:7800")})
	}
	for reason := range advice {
		for range 3 {
			r.warn(time.Now(), reason, reason, registry.Owner{}, netip.MustParseAddrPort("10.0.0.9:7800"))
		}
	}
	if s := r.Stats(); s.Old != 600 || s.WrongKey != 100 {
		t.Errorf("counted %d old, %d with another key", s.Old, s.WrongKey)
	}
	text := log.String()
	if n := strings.Count(text, "a process of skerry before 0.2 at 10.0.0.7"); n != 1 {
		t.Errorf("an old process is named %d times: %s", n, text)
	}
	if n := strings.Count(text, "\n"); n != 2+len(advice) || strings.Count(text, "do=") != n {
		t.Errorf("%d lines for %d kinds: %s", n, len(advice), text)
	}
}

// TestEachHostIsNamedOnce: hosts with several processes and addresses send packets under another
// key and of another cluster. The log names each host once for each reason, and it counts as one
// host with another key.
func TestEachHostIsNamedOnce(t *testing.T) {
	const (
		hosts     = 30
		processes = 20
	)
	var log bytes.Buffer
	r, err := New(
		Config{Cluster: "site", Owner: sender, Keys: keysOf("k"), Logger: slog.New(slog.NewTextHandler(&log, nil))},
	)
	if err != nil {
		t.Fatal(err)
	}
	r.loopbackOnly = false
	wrong := newCodec("site", ring("other"))
	foreign := newCodec("sate", ring("other"))
	for host := range hosts {
		v4 := fmt.Sprintf("10.0.0.%d:7800", 1+host)
		v6 := fmt.Sprintf("[fe80::%d]:7800", 1+host)
		for pid := range processes {
			p := samples()[0]
			p.sender = registry.Owner{Host: fmt.Sprint("h", host), PID: 1 + pid, Epoch: 1}
			for _, c := range []codec{wrong, foreign} {
				data, err := c.seal(p)
				if err != nil {
					t.Fatal(err)
				}
				for _, from := range []string{v4, v6} {
					r.ingest(data, ingress{from: netip.MustParseAddrPort(from), link: 0})
				}
			}
		}
	}
	for _, why := range []string{"wrong key", "sate"} {
		for host := range hosts {
			part := fmt.Sprintf("from=10.0.0.%d:7800", 1+host)
			n := 0
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, why) && strings.Contains(line, part) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("host %d is named %d times for %s", host, n, why)
			}
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 2*hosts {
		t.Errorf("%d warnings, want %d", n, 2*hosts)
	}
	if n := len(r.Stats().OtherKey); n != hosts {
		t.Errorf("%d hosts with another key, want %d", n, hosts)
	}
}

// TestHostIsNamedByAnAddressOfUse: the first packet of a host comes from a link-local IPv6 address, as
// is usual. The log names the host by the address that an operator can use, and by its name. A host
// without such an address is named by its second packet.
func TestHostIsNamedByAnAddressOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r, err := New(
			Config{Cluster: "site", Owner: sender, Keys: keysOf("k"), Logger: slog.New(slog.NewTextHandler(&log, nil))},
		)
		if err != nil {
			t.Fatal(err)
		}
		r.loopbackOnly = false
		from := func(host, addr string) {
			t.Helper()
			p := samples()[0]
			p.sender = registry.Owner{Host: host, PID: 1, Epoch: 1}
			data, err := newCodec("site", ring("other")).seal(p)
			if err != nil {
				t.Fatal(err)
			}
			r.ingest(data, ingress{from: netip.MustParseAddrPort(addr), link: 0})
		}
		want := func(lines ...string) {
			t.Helper()
			if got := strings.Count(log.String(), "\n"); got != len(lines) {
				t.Errorf("%d lines, want %d:\n%s", got, len(lines), &log)
			}
			for _, line := range lines {
				if !strings.Contains(log.String(), line) {
					t.Errorf("no %q in:\n%s", line, &log)
				}
			}
		}
		from("both", "[fe80::7%eth0]:7800")
		want()
		from("both", "10.0.0.7:7800")
		from("both", "[fe80::7%eth0]:7800")
		from("six", "[fe80::8%eth0]:7800")
		from("six", "[fe80::8%eth0]:7800") // within a second
		both := "from=10.0.0.7:7800 host=both"
		want(both)
		time.Sleep(warnHold)
		from("six", "[fe80::8%eth0]:7800")
		from("both", "[fe80::7%eth0]:7800")
		want(both, "from=[fe80::8%eth0]:7800 host=six")
		for i := range 2 * maxHeld { // made-up hosts
			from(fmt.Sprint("made-up-", i), fmt.Sprintf("[fe80::%x%%eth0]:7800", 100+i))
		}
		if n := len(r.warnings.held); n > maxHeld {
			t.Errorf("%d warnings wait", n)
		}
	})
}

// TestNeighbourWithoutAKey: a process of this host has no key of the site, as the database that holds
// it is away, so it speaks on the loopback interface without one. It is no host with a wrong key. The
// same packet from another host is one.
func TestNeighbourWithoutAKey(t *testing.T) {
	var log bytes.Buffer
	r, err := New(
		Config{Cluster: "site", Owner: sender, Keys: keysOf("k"), Logger: slog.New(slog.NewTextHandler(&log, nil))},
	)
	if err != nil {
		t.Fatal(err)
	}
	r.loopbackOnly = false
	p := samples()[0]
	p.sender = registry.Owner{Host: sender.Host, PID: sender.PID + 1, Epoch: 1}
	data, err := newCodec("site", nil).seal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"127.0.0.1:7800", "[::1]:7800"} {
		r.ingest(data, ingress{from: netip.MustParseAddrPort(from), link: 0})
	}
	s := r.Stats()
	if s.Keyless != 2 || s.WrongKey != 0 || len(s.OtherKey) != 0 || len(r.Peers()) != 0 {
		t.Errorf("%d without a key, %d with a wrong one, hosts %+v", s.Keyless, s.WrongKey, s.OtherKey)
	}
	if got := log.String(); strings.Count(got, "level=INFO") != 1 || strings.Contains(got, "WARN") ||
		!strings.Contains(got, "has no key of the site") {
		t.Errorf("the log says:\n%s", got)
	}
	r.ingest(data, ingress{from: netip.MustParseAddrPort("10.0.0.7:7800"), link: 0})
	if s = r.Stats(); s.Keyless != 2 || s.WrongKey != 1 || len(s.OtherKey) != 1 {
		t.Errorf("from another host: %d without a key, %d with a wrong one, hosts %+v",
			s.Keyless, s.WrongKey, s.OtherKey)
	}
}

// packetsOfBefore are one of each kind that commit 09c6cb7 has sealed: see scripts/record-before.
func packetsOfBefore(t *testing.T) (list [][]byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/packets-before-0.2")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		data, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, data)
	}
	return list
}
