//go:build linux

package guarantees

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// The scenes of processes outside the site.

const (
	mostGrowth  = 8 << 10 // KiB that hostile input may cost a process
	floodPeriod = 5 * time.Second
	floodRate   = 10_000 // packets a second
	lanPort     = 7759
	envRecord   = "SKERRY_RECORD" // a stranger's path: it floods once the file is there
)

// TestTwoClustersAreNotMixed runs two clusters side by side, on one network and in one table. Only
// its own provider may answer each.
func TestTwoClustersAreNotMixed(t *testing.T) {
	lines := map[string]func(t *testing.T) string{
		"one wire": func(*testing.T) string { return onLoopback },
		"one table": func(t *testing.T) string {
			pg := pgtest.Shared(t)
			return fmt.Sprintf("mode: database\nlan: {interfaces: [lo]}\ndatabase: {url: %q}", pg.URL(pg.CreateDB(t)))
		},
	}
	t.Parallel()
	for name, lines := range lines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			extra := lines(t)
			var two [2]*site
			for i := range two {
				two[i] = newSite(t, extra)
				two[i].provider(fmt.Sprint("of-site-", i), how{})
			}
			for i, s := range two {
				s.consumer("caller", how{})
				s.warm(fmt.Sprint("of-site-", i))
			}
			time.Sleep(3 * time.Second)
			for i, s := range two {
				own := fmt.Sprint("of-site-", i)
				for _, r := range s.journal.calls(func(r record) bool { return !r.failed() && r.who != own }) {
					t.Fatalf("site %d: %+v", i, r)
				}
				if !s.journal.shows("caller", own) {
					t.Errorf("site %d lists %v", i, s.journal.listings("caller"))
				}
			}
		})
	}
}

// TestStrangersOnTheWire: one host has a provider with another key. Another has an attacker that
// records, forges, replays, and floods with ten thousand packets a second. Meanwhile calls
// continue, memory is bounded, and no dead instance returns.
func TestStrangersOnTheWire(t *testing.T) {
	s, _ := newLANSite(t, 5, onTheLAN+noFloor)
	trigger := s.dir + "/flood"
	t.Setenv(envRecord, trigger)
	s.start("stranger", "stranger", "", how{host: 4}, "ready")
	one := s.provider("one", how{host: 0})
	s.provider("two", how{host: 1})
	dead := s.provider("dead", how{host: 1})
	caller := s.consumer("caller", how{host: 2})
	s.provider("wrong-key", how{host: 3, site: "mode: broadcast\nlan: {key: " + lab.OtherSiteKey + "}"})
	s.warm("one", "two", "dead")
	dead.stop()
	dead.wait(40 * time.Second)
	eventually(t, 5*time.Second, "the left one is off the list", func() bool {
		return s.journal.shows("caller", "one", "two")
	})

	before := map[*process]int{one: one.held(), caller: caller.held()}
	begin := time.Now()
	must(t, os.WriteFile(trigger, nil, 0o600))
	most := map[*process]int{}
	eventually(t, 4*floodPeriod, "the flood is over", func() bool {
		for p := range before {
			most[p] = max(most[p], p.held())
		}
		return !s.journal.at("stranger", "left").IsZero()
	})
	t.Logf("%d packets in %v", floodRate*int(floodPeriod/time.Second),
		s.journal.at("stranger", "left").Sub(s.journal.at("stranger", "serve")).Round(time.Millisecond))
	time.Sleep(time.Second)
	noFailures(t, s.journal, begin, time.Now())
	for p, begun := range before {
		t.Logf("%s: %d KiB before, %d KiB at most", p.name, begun, most[p])
		if grown := most[p] - begun; grown > mostGrowth {
			t.Errorf("%s grew by %d KiB", p.name, grown)
		}
	}
	for _, l := range s.journal.listings("caller") {
		if l.at.After(begin) && !slices.Equal(l.names, []string{"one", "two"}) {
			t.Errorf("listed %v %v after the begin of the flood", l.names, l.at.Sub(begin))
		}
	}
	if !caller.said("wrong key") {
		t.Errorf("the caller's log says nothing of a wrong key")
	}
}

// annoy records packets until the test orders a flood.
func annoy(ctx context.Context, out *lines) error {
	reuse := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		})
	}}
	pc, err := reuse.ListenPacket(ctx, "udp4", fmt.Sprintf(":%d", lanPort))
	if err != nil {
		return err
	}
	defer pc.Close()
	out.print("ready %d", time.Now().UnixNano())
	var tape [][]byte
	buf := make([]byte, 2048)
	for ctx.Err() == nil {
		_ = pc.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // a UDP socket has deadlines
		if n, _, err := pc.ReadFrom(buf); err == nil {
			tape = append(tape, bytes.Clone(buf[:n]))
		}
		if _, err := os.Stat(os.Getenv(envRecord)); err == nil {
			break
		}
	}
	if len(tape) == 0 {
		return fmt.Errorf("nothing was heard on port %d", lanPort)
	}
	out.print("serve %d", time.Now().UnixNano())
	if err := flood(pc, tape); err != nil {
		return err
	}
	out.print("left %d", time.Now().UnixNano())
	<-ctx.Done()
	return nil
}

// flood sends noise, noise with a valid beginning, forgeries of the recorded packets, and the
// recording. Each run uses the same seed.
func flood(pc net.PacketConn, tape [][]byte) error {
	all := &net.UDPAddr{IP: net.IPv4(10, 77, 0, 255), Port: lanPort}
	noise := rand.NewChaCha8([32]byte{1})
	draw := rand.New(noise)
	begin := time.Now()
	for i := range floodRate * int(floodPeriod/time.Second) {
		recorded := tape[draw.IntN(len(tape))]
		var packet []byte
		switch i % 4 {
		case 0:
			packet = make([]byte, draw.IntN(1200))
			noise.Read(packet)
		case 1:
			packet = append(bytes.Clone(recorded[:draw.IntN(len(recorded))]), make([]byte, draw.IntN(200))...)
		case 2:
			packet = bytes.Clone(recorded)
			packet[draw.IntN(len(packet))] ^= 1 << draw.IntN(8)
		default:
			packet = recorded
		}
		if _, err := pc.WriteTo(packet, all); err != nil && i == 0 {
			return err
		}
		if ahead := time.Duration(i)*time.Second/floodRate - time.Since(begin); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
	return nil
}

var offeredAt = regexp.MustCompile(`service=echo version=\S* addr=(\S+)`)

// TestHostileFrame: messages of 12 bytes that announce 2 GiB, on 300 connections to a server with
// running calls.
func TestHostileFrame(t *testing.T) {
	t.Parallel()
	s := newSite(t, onLoopback+noFloor)
	server := s.provider("server", how{})
	s.consumer("caller", how{})
	s.warm("server")
	eventually(t, 5*time.Second, "the server's log names its address", func() bool {
		return offeredAt.MatchString(server.logged())
	})
	addr := offeredAt.FindStringSubmatch(server.logged())[1]
	const huge = 0x7fffffff
	frame := func(words ...uint32) (b []byte) {
		for _, w := range words {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		return b
	}
	frames := map[string][]byte{
		"framed binary":       frame(huge, 0x80010001, 3),
		"framed compact":      frame(huge, 0x82210001, 3),
		"THeader":             frame(huge, 0x0fff0000, 1),
		"unframed binary":     frame(0x80010001, huge, 0x77686f00),
		"unframed compact":    append(frame(0x822101ff), 0xff, 0xff, 0xff, 0x07, 'w', 'h', 'o', 0),
		"a name in a frame":   frame(8, 0x80010001, huge),
		"THeader's own block": frame(8, 0x0fff0000, 1)[:12],
	}
	begin, before := time.Now(), server.held()
	for name, bytes := range frames {
		if len(bytes) != 12 {
			t.Fatalf("%s has %d bytes", name, len(bytes))
		}
		for range 300 / len(frames) {
			c, err := net.Dial("tcp", addr)
			must(t, err)
			defer c.Close()
			_, err = c.Write(bytes)
			must(t, err)
		}
	}
	time.Sleep(2 * time.Second)
	peak := server.held() // received bytes hold memory while more may come
	t.Logf("%d KiB before, %d KiB at most", before, peak)
	if peak-before > mostGrowth {
		t.Errorf("the server grew by %d KiB", peak-before)
	}
	noFailures(t, s.journal, begin, time.Now())
}
