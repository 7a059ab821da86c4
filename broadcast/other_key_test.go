package broadcast

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// keyed returns a core with a ring, for tests without a network.
func keyed(t *testing.T, host string, keys ...string) *core {
	owner := registry.Owner{Host: host, PID: 1, Epoch: 1}
	return newCore("site", ring(keys...), owner, defaultAnnounce, rand.New(rand.NewPCG(seeded(t, 53), 2)))
}

// asks returns a query to all, as the other core receives it.
func asks(t *testing.T, c, to *core, now time.Time) (packet, error) {
	t.Helper()
	c.outbox = nil
	c.ask(now, []string{"svc"})
	if len(c.outbox) != 1 {
		t.Fatalf("%d datagrams for one question", len(c.outbox))
	}
	return to.open(c.outbox[0].data)
}

// TestOtherKeyIsNoted: a process with another key is identified by the name and address of its
// packets. It is forgotten when it proves the key, or is silent.
func TestOtherKeyIsNoted(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	here, there := keyed(t, "here", "right"), keyed(t, "there", "wrong")
	v4, v6 := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fe80::7")
	for _, from := range []netip.Addr{v6, v4, v6} {
		p, err := asks(t, there, here, now)
		if err != errMAC || p.kind != query || p.sender != there.self {
			t.Fatalf("another key: %v, kind %d of %v", err, p.kind, p.sender)
		}
		here.onOtherKey(now, p, path{addr: netip.AddrPortFrom(from, 7760), link: 1}, true)
	}
	list := here.otherKeys.since(now)
	if len(list) != 1 || list[0] != (KeyHolder{Host: "there", Addr: v4, Packets: 3, Last: now}) {
		t.Errorf("noted: %+v", list)
	}
	if late := here.otherKeys.since(now.Add(time.Second)); len(late) != 0 {
		t.Errorf("still noted: %+v", late)
	}
	here.otherKeys.forget(there.self)
	if list := here.otherKeys.since(now); len(list) != 0 {
		t.Errorf("it has proved the key, and is noted: %+v", list)
	}
}

// TestOtherKeyIsBounded: made-up hosts take a bounded number of places, for at most a life. A host
// with many processes takes one place.
func TestOtherKeyIsBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := keyed(t, "here", "right")
	at := func(i int) path {
		return path{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)}
	}
	note := func(host string, i, from int) {
		p := packet{kind: announce, sender: registry.Owner{Host: host, Epoch: int64(i)}}
		c.onOtherKey(now, p, at(from), true)
	}
	for i := range 1000 {
		note("crowded", i, 0)
	}
	if n := len(c.otherKeys.hosts); n != 1 || len(c.otherKeys.byOwner) != otherKeyParts {
		t.Errorf("a host with 1,000 processes takes %d places, with %d names", n, len(c.otherKeys.byOwner))
	}
	for i := range 1000 {
		note("made-up", i, 1+i)
	}
	if n := len(c.otherKeys.hosts); n != otherKeyMost {
		t.Errorf("%d of 1,000 made-up hosts are remembered, want %d", n, otherKeyMost)
	}
	now = now.Add(c.otherKeyLife() + time.Second)
	note("h", 1, 2000)
	if list := c.otherKeys.since(now); len(list) != 1 || list[0].Host != "h" || len(c.otherKeys.hosts) != 1 {
		t.Errorf("after a life: %+v of %d", list, len(c.otherKeys.hosts))
	}
	if n := len(c.otherKeys.byAddr) + len(c.otherKeys.byOwner); n != 2 {
		t.Errorf("%d names and addresses of forgotten hosts are left", n-2)
	}
}

// TestOtherKeyIsTold: a query to all under another key gets a notice at a bounded rate, so that
// both sides know. No other packet gets one. The notice is shorter than the query and changes
// nothing at a process that can open it.
func TestOtherKeyIsTold(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	here, there := keyed(t, "here", "right"), keyed(t, "there", "wrong")
	p, _ := asks(t, there, here, now)
	at := func(i int) path {
		return path{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 7760), link: 1}
	}
	probed := p
	probed.kind = probe
	if here.onOtherKey(now, p, at(1), false) || here.onOtherKey(now, probed, at(1), true) {
		t.Error("a question to this host alone is answered")
	}
	told := 0
	const seconds = 20
	for i := range 100 * seconds {
		now = now.Add(10 * time.Millisecond)
		if here.onOtherKey(now, p, at(i), true) {
			told++
		}
	}
	if most := 4 + seconds*noticeRate; told > most || told < most/2 {
		t.Errorf("%d words in %d s, at most %d are allowed", told, seconds, most)
	}
	now = now.Add(time.Minute)
	here.timers = nil
	if !here.onOtherKey(now, p, at(1), true) || here.onOtherKey(now.Add(noticeGap/2), p, at(1), true) {
		t.Error("one address is told not at all, or all the time")
	}
	here.wake(now.Add(time.Second))
	if len(here.outbox) != 1 || here.outbox[0].group || len(here.outbox[0].data) > p.size {
		t.Fatalf("%d words, the question has %d bytes", len(here.outbox), p.size)
	}
	if _, err := there.open(here.outbox[0].data); err != errMAC {
		t.Errorf("the word is opened by another key: %v", err)
	}
	friend := keyed(t, "friend", "right")
	said, err := friend.open(here.outbox[0].data)
	if err != nil {
		t.Fatal(err)
	}
	friend.want(now, []string{"svc"}, false)
	before := friend.stats
	friend.outbox, friend.timers = nil, nil
	friend.receive(now, said, at(2), false)
	if before.Unwanted++; len(friend.peers)+len(friend.outbox)+len(friend.timers) > 0 ||
		friend.stats.Unwanted != before.Unwanted {
		t.Errorf("the word has an effect: %+v, %d datagrams", friend.stats, len(friend.outbox))
	}
}

// TestRotationIsNoOtherKey: while a key is replaced, rings in either order open packets of both. A
// ring without the new key misses no packet until the new key signs.
func TestRotationIsNoOtherKey(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	steps := [][]string{{"old"}, {"old", "new"}, {"new", "old"}, {"new"}}
	for i, one := range steps[1:] {
		for _, rings := range [][2][]string{{one, steps[i]}, {steps[i], one}, {one, one}} {
			from, to := keyed(t, "from", rings[0]...), keyed(t, "to", rings[1]...)
			if _, err := asks(t, from, to, now); err != nil {
				t.Errorf("%v is heard by %v: %v", rings[0], rings[1], err)
			}
		}
	}
}

// TestWordOfNobody: the notice to another key names no valid owner.
func TestWordOfNobody(t *testing.T) {
	if err := checkBody(&wire.Alarm{Owner: &wire.Owner{Host: "h"}}); err != nil {
		t.Errorf("the word would count as malformed: %v", err)
	}
}
