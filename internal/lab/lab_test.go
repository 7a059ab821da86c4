//go:build linux

package lab_test

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// dialVar makes the test binary, run in a host, report by its exit status whether a host can be
// reached.
const dialVar = "SKERRY_LAB_DIAL"

// bytesVar makes it send a datagram of so many bytes instead.
const bytesVar = "SKERRY_LAB_BYTES"

func TestMain(m *testing.M) {
	to := os.Getenv(dialVar)
	if to == "" {
		os.Exit(m.Run())
	}
	if n, err := strconv.Atoi(os.Getenv(bytesVar)); err == nil {
		os.Exit(sendLong(to, n))
	}
	for range 3 {
		_, err := net.DialTimeout("tcp", net.JoinHostPort(to, "9"), 300*time.Millisecond)
		if errors.Is(err, syscall.ECONNREFUSED) { // its kernel answers
			os.Exit(0)
		}
	}
	os.Exit(1)
}

// sendLong returns 0 when a datagram has reached a host and the host's kernel has refused it.
func sendLong(to string, n int) int {
	c, err := net.Dial("udp", net.JoinHostPort(to, "9"))
	if err != nil {
		return 1
	}
	for range 3 {
		_, _ = c.Write(make([]byte, n)) // an error concerns earlier datagrams
		_ = c.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, syscall.ECONNREFUSED) {
			return 0
		}
	}
	return 1
}

func reaches(from *lab.Host, to string) bool {
	c := from.Command(os.Args[0])
	c.Env = append(os.Environ(), dialVar+"="+to)
	return c.Run() == nil
}

func TestCablesAndFaults(t *testing.T) {
	l := lab.New(t, 3, lab.Second(2))
	a, b, c := l.Host(0), l.Host(1), l.Host(2)
	check := func(what string, from *lab.Host, to string, want bool) {
		t.Helper()
		if got := reaches(from, to); got != want {
			t.Errorf("%s: host %d reaches %s: %t, want %t", what, from.Index, to, got, want)
		}
	}
	check("new", a, c.IP(0), true)
	check("second LAN", a, b.IP(1), true)
	check("not connected", a, c.IP(1), false)
	c.Cut()
	check("cut", a, c.IP(0), false)
	c.Heal()
	check("healed", a, c.IP(0), true)
	l.Partition(0)
	check("partition", a, b.IP(0), false)
	check("other side", b, c.IP(0), true)
	l.Partition()
	b.Deaf(0)
	check("deaf", a, b.IP(0), false)
	check("deaf to one only", c, b.IP(0), true)
	b.Deaf()
	b.Loss(100)
	check("all lost", a, b.IP(0), false)
	b.Loss(0)
	l.BlockBroadcast(true)
	check("unicast passes", a, b.IP(0), true)
	b.BlockUDP(true)
	check("TCP passes", a, b.IP(0), true)
	c.Connect("eth1", 1)
	check("connected later", c, a.IP(1), true)
	if n := l.Counts()[0]; n.SentPackets == 0 || n.ReceivedBytes == 0 {
		t.Errorf("counts of host 0: %+v", n)
	}
}

// TestLine: a line delays, loses, and drops long packets, both ways.
func TestLine(t *testing.T) {
	l := lab.New(t, 2)
	a, b := l.Host(0), l.Host(1)
	passes := func(bytes int) (took time.Duration, ok bool) {
		begun := time.Now()
		c := a.Command(os.Args[0])
		c.Env = append(os.Environ(), dialVar+"="+b.IP(0), bytesVar+"="+strconv.Itoa(bytes))
		err := c.Run()
		return time.Since(begun), err == nil
	}
	if _, ok := passes(56); !ok {
		t.Fatal("nothing passes a cable")
	}
	b.Line(lab.Line{Delay: 150 * time.Millisecond})
	if took, ok := passes(56); !ok || took < 300*time.Millisecond {
		t.Errorf("over a line of 150 ms each way: %v, %v", took, ok)
	}
	b.Line(lab.Line{Most: 1000})
	if _, ok := passes(800); !ok {
		t.Error("a short packet does not pass")
	}
	if _, ok := passes(1200); ok {
		t.Error("a long packet passes")
	}
	b.Line(lab.Line{Loss: 100})
	if _, ok := passes(56); ok {
		t.Error("what is lost passes")
	}
	b.Line(lab.Line{})
	if !reaches(a, b.IP(0)) {
		t.Error("TCP does not pass")
	}
}

func TestProcesses(t *testing.T) {
	l := lab.New(t, 1)
	h := l.Host(0)
	if out := h.Run("ip", "-o", "addr", "show", "eth0"); !strings.Contains(out, h.IP(0)) {
		t.Errorf("eth0 of host 0: %s", out)
	}
	p := h.Start("cat")
	if _, err := p.Stdin.Write([]byte("heard\n")); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, 5*time.Second, func() bool { return p.Output() == "heard\n" }, p.Output)
	p.Kill()
	if err := p.Wait(time.Second); err == nil {
		t.Error("a killed process ended well")
	}
	h.Start("sleep", "1000") // killed by the end of the test
}
