//go:build linux

package attack

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/wire"
)

// Kinds of packets.
const (
	announce = 1
	query    = 2
	goodbye  = 4
	alarm    = 6
)

const lanPort = 7759 // shared; each process also has one of the hundred ports after it

// lanKey returns the key that seals packets: of the site, or the one without a key.
func (s *site) lanKey(key *sitekey.Key) []byte {
	if key != nil {
		return key.Use("lan", s.cluster)
	}
	mac := hmac.New(sha256.New, nil)
	mac.Write([]byte("skerry lan 2, no key\x00" + s.cluster))
	return mac.Sum(nil)
}

// packet is a datagram in the name of a process.
func (s *site) packet(key []byte, kind byte, sender string, seq uint64, body thrift.TStruct) []byte {
	buf := thrift.NewTMemoryBuffer()
	must(s.t, body.Write(context.Background(), thrift.NewTCompactProtocolConf(buf, &thrift.TConfiguration{})))
	out := append([]byte("skry"), 2, kind, byte(len(s.cluster)))
	out = append(append(out, s.cluster...), byte(len(sender)))
	out = binary.BigEndian.AppendUint64(append(out, sender...), seq)
	out = append(out, buf.Bytes()...)
	mac := hmac.New(sha256.New, key)
	mac.Write(out)
	return mac.Sum(out)
}

var openOwner = regexp.MustCompile(`node is open.* owner=(\S+)`)

// owner is the process's name in packets.
func (p *process) owner() string {
	found := openOwner.FindStringSubmatch(p.logged())
	if found == nil {
		p.t.Fatalf("%s does not log its name", p.name)
	}
	return found[1]
}

// everywhere sends a datagram to all hosts, and to each port that a process of the host may have.
func everywhere(pc net.PacketConn, host string, b []byte) {
	all := []string{"10.77.0.255"}
	if strings.HasPrefix(host, "127.") {
		all = []string{"127.255.255.255"}
	}
	for _, ip := range all {
		_, _ = pc.WriteTo(b, &net.UDPAddr{IP: net.ParseIP(ip), Port: lanPort})
	}
	for port := lanPort; port <= lanPort+100; port++ {
		_, _ = pc.WriteTo(b, &net.UDPAddr{IP: net.ParseIP(host), Port: port}) // most have no process
	}
}

// speakers are the attackers on the LAN: a stranger on the laptop, and one that the site counts as
// a member.
func (s *site) speakers(t *testing.T) map[string]struct {
	pc   net.PacketConn
	key  []byte
	host string // of the consumer, as seen from the attacker
} {
	t.Helper()
	type speaker = struct {
		pc   net.PacketConn
		key  []byte
		host string
	}
	other := sitekey.New()
	consumer := s.lan.Host(s.hostOf("consumer")).IP(0)
	all := map[string]speaker{
		"stranger":  {s.laptop().udp(t, "10.77.0.3:0"), s.lanKey(nil), consumer},
		"other key": {s.laptop().udp(t, "10.77.0.3:0"), s.lanKey(&other), consumer},
	}
	if s.keys {
		all["member"] = speaker{s.laptop().udp(t, "10.77.0.3:0"), s.lanKey(&s.key), consumer}
	} else {
		all["member"] = speaker{s.on(0).udp(t, "127.0.0.1:0"), s.lanKey(nil), "127.0.0.1"}
	}
	return all
}

// falseWords sends goodbyes and suspicions in the provider's name, with all sequence numbers that
// may matter.
func falseWords(t *testing.T, s *site) {
	owner := s.provider.owner()
	parts := strings.Split(owner, "/")
	var pid int32
	_, _ = fmt.Sscan(parts[1], &pid) // a suspicion of another process does no more harm
	for name, by := range s.speakers(t) {
		for _, seq := range []uint64{1, 1 << 20, 1<<62 - 1, 1 << 62, 1<<64 - 1, uint64(time.Now().UnixMicro())} {
			everywhere(by.pc, by.host, s.packet(by.key, goodbye, owner, seq, &wire.Goodbye{Everything: new(true)}))
			everywhere(by.pc, by.host, s.packet(by.key, alarm, strangerOwner, seq,
				&wire.Alarm{Owner: &wire.Owner{Host: parts[0], Pid: pid, Epoch: 1}}))
			everywhere(by.pc, by.host, s.packet(by.key, announce, owner, seq,
				&wire.Announce{Listing: &wire.Listing{Complete: new(true)}}))
			time.Sleep(50 * time.Millisecond)
		}
		_ = name
	}
	time.Sleep(2 * time.Second)
	if s.keys {
		s.consumer.saysWrongKey(t, s.lan.Host(laptopHost))
		if n := s.consumer.saying("wrong key"); n > 2 {
			t.Errorf("a wrong key is said %d times", n)
		}
	}
	if s.consumer.saying("a goodbye in the name of a process that stays")+s.consumer.saying(
		"sequence number out of bounds") == 0 {
		t.Error("the consumer does not say that a member lies")
	}
}

// fakeProviders are whole processes of skerry that offer auth without the site's key, with a weight
// that would draw all calls.
func fakeProviders(t *testing.T, s *site) {
	for name, lines := range map[string]string{"open-rogue": "site: {keys: none}\n",
		"other-rogue": fmt.Sprintf("site: {keys: [%q]}\n", s.path("other.key"))} {
		s.write("other.key", sitekey.New().Text()+"\n")
		rogue := *s
		rogue.setUp, rogue.extra, rogue.t = setUp{}, lines, t
		p := rogue.start(name, "provider", laptopHost)
		time.Sleep(3 * time.Second)
		p.stop(syscall.SIGKILL)
	}
	if s.keys {
		s.consumer.saysWrongKey(t, s.lan.Host(laptopHost))
	}
}

// plainMember announces, as a member, a process at a port without encryption that has newer rules.
func plainMember(t *testing.T, s *site) {
	at, host := s.on(0), "127.0.0.1"
	by := s.speakers(t)["member"]
	if s.keys {
		at, host = s.laptop(), "10.77.0.3"
	}
	ln := at.listen(t, host+":0")
	heard := make(chan []byte, 64)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				_ = nc.SetDeadline(time.Now().Add(2 * time.Second))
				b := make([]byte, 64)
				n, _ := nc.Read(b)
				heard <- b[:n]
			}()
		}
	}()
	before := s.tip(t, "provider")
	_, port, err := net.SplitHostPort(ln.Addr().String())
	must(t, err)
	var number int32
	_, err = fmt.Sscan(port, &number)
	must(t, err)
	listing := &wire.Listing{Complete: new(true),
		Registrations: []*wire.Registration{{Name: "skerry.node", Host: host, Port: number,
			Weight: new(int32(-1)), Tags: map[string]string{"rules": "4000 x", "skerry.host": at.mark(t)}}}}
	// The member proves itself by answering the probes to its socket.
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := by.pc.ReadFrom(b)
			if err != nil {
				return
			}
			if nonce, ok := probeOf(b[:n]); ok {
				_, _ = by.pc.WriteTo(s.packet(by.key, 3, strangerOwner, uint64(time.Now().UnixMicro()),
					&wire.Answer{Nonce: nonce, Listing: listing}), from)
			}
		}
	}()
	for range 4 {
		everywhere(by.pc, by.host, s.packet(by.key, announce, strangerOwner, uint64(time.Now().UnixMicro()),
			&wire.Announce{Listing: listing}))
		time.Sleep(500 * time.Millisecond)
	}
	s.unmoved(t, before)
	connections := 0
	for len(heard) > 0 {
		b := <-heard
		connections++
		if len(b) > 0 && b[0] != 0x16 && (s.keys || s.tls) {
			t.Errorf("a process speaks in the clear: %q", b)
		}
	}
	t.Logf("%d connections came", connections)
	if connections == 0 {
		t.Error("no process asks the one that announces newer rules: the attack proves nothing")
	}
}

// probeOf returns the nonce of a probe or of a query.
func probeOf(b []byte) (nonce int64, ok bool) {
	if len(b) < 7+32 || string(b[:4]) != "skry" || b[5] != 5 && b[5] != query {
		return 0, false
	}
	rest := b[6 : len(b)-32]
	for range 2 {
		rest = rest[1+int(rest[0]):]
	}
	buf := thrift.NewTMemoryBuffer()
	buf.Write(rest[8:])
	p := thrift.NewTCompactProtocolConf(buf, &thrift.TConfiguration{})
	if b[5] == query {
		q := wire.NewQuery()
		return q.Nonce, q.Read(context.Background(), p) == nil && q.Nonce != 0
	}
	q := wire.NewProbe()
	err := q.Read(context.Background(), p)
	return q.Nonce, err == nil
}

// amplified counts the bytes to an address that answers nothing.
func amplified(t *testing.T, s *site) {
	pc := s.laptop().udp(t, "10.77.0.3:0")
	got := make(chan int, 1)
	go func() {
		b, all := make([]byte, 2048), 0
		for {
			n, _, err := pc.ReadFrom(b)
			if err != nil {
				got <- all
				return
			}
			all += n
		}
	}()
	sent := 0
	for n := range 200 {
		b := s.packet(s.lanKey(&s.key), query, "laptop/777/1", uint64(n+1),
			&wire.Query{Nonce: int64(n + 1), Services: []string{"auth"}})
		_, err := pc.WriteTo(b, &net.UDPAddr{IP: net.IPv4(10, 77, 0, 255), Port: lanPort})
		must(t, err)
		sent += len(b)
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(time.Second)
	must(t, pc.Close())
	all := <-got
	t.Logf("%d bytes sent, %d came back", sent, all)
	if all == 0 || all > 3*sent {
		t.Errorf("%d bytes came back for %d", all, sent)
	}
}

// floodAndReplay: while a member announces a thousand made-up processes a second, a new provider is
// found. When it has left, a recording does not bring it back.
func floodAndReplay(t *testing.T, s *site) {
	pc, key := s.laptop().udp(t, "10.77.0.3:0"), s.lanKey(&s.key)
	ear := s.laptop().udp(t, fmt.Sprintf("0.0.0.0:%d", lanPort))
	tape := make(chan [][]byte, 1)
	go func() {
		var all [][]byte
		b := make([]byte, 2048)
		for {
			n, _, err := ear.ReadFrom(b)
			if err != nil {
				tape <- all
				return
			}
			all = append(all, bytes.Clone(b[:n]))
		}
	}()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	flooded := make(chan int, 1)
	go func() {
		n := 0
		for begin := time.Now(); ctx.Err() == nil; n++ {
			listing := &wire.Listing{Complete: new(true),
				Registrations: []*wire.Registration{{Name: "auth", Version: new("v1"), Host: "10.77.0.3", Port: 9}}}
			b := s.packet(key, announce, fmt.Sprintf("ghost/%d/1", n+1), uint64(n+1), &wire.Announce{Listing: listing})
			_, _ = pc.WriteTo(b, &net.UDPAddr{IP: net.IPv4(10, 77, 0, 255), Port: lanPort})
			if ahead := time.Duration(n)*time.Millisecond - time.Since(begin); ahead > 0 {
				time.Sleep(ahead)
			}
		}
		flooded <- n
	}()
	time.Sleep(2 * time.Second)
	listed := func(names string) func() bool {
		return func() bool { _, _, list := s.consumer.seen(); return list == names }
	}
	began := time.Now()
	second := s.start("second", "provider", 3)
	lab.Eventually(t, 15*time.Second, listed("provider second"), func() string {
		return "the second provider is listed"
	})
	t.Logf("found after %v", time.Since(began))
	stop()
	t.Logf("%d packets", <-flooded)
	second.stop(syscall.SIGTERM)
	lab.Eventually(t, 20*time.Second, listed("provider"), func() string {
		return "the second provider is off the list"
	})
	_ = ear.Close()
	s.unharmed(t, func(t *testing.T) {
		recorded := <-tape
		if len(recorded) == 0 {
			t.Fatal("nothing was recorded")
		}
		for _, b := range recorded[:min(len(recorded), 500)] {
			everywhere(pc, s.lan.Host(1).IP(0), b)
		}
		for _, b := range recorded { // the second provider's packets are among the last
			if bytes.Contains(b, []byte(second.owner())) {
				everywhere(pc, s.lan.Host(1).IP(0), b)
			}
		}
		time.Sleep(2 * time.Second)
	})
}
