//go:build linux

package broadcast

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// A stranger is this test binary in a host of the lab, with a role in the variable: "tape" records
// packets and plays them on demand, "flood" sends ten thousand made-up packets a second.
const strangerVar = "SKERRY_BROADCAST_STRANGER"

func beStranger(role string) error {
	ifi, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	nics, err := hostNICs()
	if err != nil {
		return err
	}
	l, err := openLink(choose(nics, []string{"eth0"})[0], ifi, portRange{defaultPort, defaultPorts})
	if err != nil {
		return err
	}
	defer l.close()
	if role == "flood" {
		return flood(l)
	}
	return tape(l, ifi)
}

// tape records until a line comes, plays, and so on until the input ends.
func tape(l *link, ifi *net.Interface) error {
	e, err := openShared(context.Background(), defaultPort)
	if err != nil {
		return err
	}
	defer e.close()
	if err := e.join(ifi); err != nil {
		return err
	}
	fmt.Println("recording")
	var recorded [][]byte
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		buf := make([]byte, 2*MaxPacket)
		for { // earlier packets wait in the socket's buffer
			_ = e.p4.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			n, a, err := e.read4(buf)
			if err != nil {
				break
			}
			if a.from.Addr() != l.v4 {
				recorded = append(recorded, bytes.Clone(buf[:n]))
			}
		}
		for _, data := range recorded {
			if _, err := l.toAll(data, defaultPort); err != nil {
				return err
			}
		}
		fmt.Println("played", len(recorded))
	}
	return nil
}

// flood sends noise, then well-formed packets under a wrong key, then announcements under the
// cluster's key of instances that do not exist.
func flood(l *link) error {
	made := forgeries()
	begin := time.Now()
	for i := range 20_000 {
		if _, err := l.toAll(made[i%len(made)], defaultPort); err != nil && i == 0 {
			return err
		}
		if ahead := time.Duration(i)*100*time.Microsecond - time.Since(begin); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
	fmt.Println("flooded in", time.Since(begin))
	return nil
}

func forgeries() [][]byte {
	var out [][]byte
	for i := range 300 {
		noise := make([]byte, 20+4*i%1100)
		rand.Read(noise)
		half := append([]byte("skry\x02\x01\x03lab"), noise...)
		owner := registry.Owner{Host: "ghost", PID: i, Epoch: 1}
		reg := &wire.Registration{Name: "svc", Host: "10.77.0.99", Port: int32(1 + i)}
		p := packet{kind: announce, sender: owner, seq: 1,
			body: &wire.Announce{Listing: pack([]*wire.Registration{reg}, wire.Listing{}, 900, nil)}}
		wrong, _ := newCodec("lab", ring("guessed")).seal(p)
		right, _ := newCodec("lab", ring("k")).seal(p)
		out = append(out, noise, half, wrong, right)
	}
	return out
}

// startStranger starts one in a host.
func startStranger(h *lab.Host, role string) *lab.Process {
	c := h.Command(os.Args[0])
	c.Env = append(os.Environ(), strangerVar+"="+role)
	return h.StartCommand(c)
}

// TestLANReplay: packets recorded on the network bring no process back and remove none.
func TestLANReplay(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 4)
	rec := startStranger(l.Host(3), "tape")
	said := func(what string) {
		t.Helper()
		lab.Eventually(t, 5*time.Second, func() bool { return strings.Contains(rec.Output(), what) }, rec.Output)
	}
	said("recording")
	a := startNode(t, l.Host(0), nodeConfig{Key: "k", Port: 7000})
	b := startNode(t, l.Host(1), nodeConfig{Key: "k", Port: 7000})
	c := startNode(t, l.Host(2), nodeConfig{Key: "k", Port: 7000})
	agree(t, 5*time.Second, []*node{a, b, c}, a.addr, b.addr, c.addr)
	a.p.Kill()
	b.tell("suspect " + a.addr)
	c.tell("leave")
	agree(t, time.Second, []*node{b}, b.addr)
	late := startNode(t, l.Host(2), nodeConfig{Key: "k"}) // knows neither
	agree(t, 5*time.Second, []*node{late}, b.addr)
	time.Sleep(burstGap + 100*time.Millisecond) // from now on a copy does not count as a duplicate
	rec.Stdin.Write([]byte("play\n"))
	said("played")
	lab.Eventually(t, 5*time.Second, func() bool {
		return b.askStats().Replay > 0 && late.askStats().Unproven > 0
	}, func() string { return fmt.Sprintf("replays counted: %+v, %+v", b.askStats(), late.askStats()) })
	agree(t, time.Second, []*node{b, late}, b.addr)
}

// TestLANFlood: twenty thousand packets in two seconds, of noise, of a wrong key, and of made-up
// processes under the right one, change neither lists nor memory, nor the time to find a new
// process.
func TestLANFlood(t *testing.T) {
	l := lab.New(t, 3)
	a := startNode(t, l.Host(0), nodeConfig{Key: "k", Port: 7000})
	b := startNode(t, l.Host(1), nodeConfig{Key: "k", Port: 7000})
	agree(t, 5*time.Second, []*node{a, b}, a.addr, b.addr)
	before := resident(t, a)
	f := startStranger(l.Host(2), "flood")
	time.Sleep(500 * time.Millisecond)
	b.tell("put 7001")
	t.Logf("a new instance is known in the flood after %v",
		agree(t, 3*time.Second, []*node{a, b}, a.addr, b.addr, l.Host(1).IP(0)+":7001"))
	if err := f.Wait(20 * time.Second); err != nil {
		t.Fatalf("flood: %v: %s", err, f.Output())
	}
	s := a.askStats()
	if s.Malformed == 0 || s.WrongKey == 0 || s.Unproven == 0 {
		t.Errorf("counted %+v", s)
	}
	if grown := resident(t, a) - before; grown > 32<<10 {
		t.Errorf("memory grew by %d KiB", grown)
	}
	if ghost := slices.ContainsFunc(a.list(), func(s string) bool { return strings.Contains(s, "10.77.0.99") }); ghost {
		t.Errorf("a ghost is listed: %v", a.list())
	}
	n := 0
	a.mu.Lock()
	for _, line := range a.logs {
		if strings.Contains(line, "WARN") {
			n++
		}
	}
	a.mu.Unlock()
	if n > 5 {
		t.Errorf("%d warnings for one stranger", n)
	}
}

// resident is the memory of a node in KiB.
func resident(t *testing.T, n *node) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.p.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatal("no VmRSS in the status of the node")
	return 0
}
