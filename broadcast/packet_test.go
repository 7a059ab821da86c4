package broadcast

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

var sender = registry.Owner{Host: "node-1", PID: 4711, Epoch: 1_700_000_000_000_000}

// samples is one packet of each kind.
func samples() []packet {
	in := registry.Instance{
		Service: "auth",
		Version: "v1",
		Host:    "10.0.0.5",
		Port:    7000,
		Zone:    "east",
		Weight:  7,
		Tags: map[string]string{
			"k": "v",
		},
		TLS:      true,
		Protocol: registry.ProtocolFramedBinary,
		Started:  time.Now().Add(-time.Hour),
	}
	l := pack(
		[]*wire.Registration{listing.Encode(in, time.Now())},
		wire.Listing{Hash: listing.Hash([]registry.Instance{in})},
		900,
		nil,
	)
	bodies := []thrift.TStruct{
		&wire.Announce{Listing: l},
		&wire.Query{Nonce: -5, Services: []string{"auth", "proc"}, Exchange: new(true), Pad: make([]byte, 9)},
		&wire.Answer{Nonce: 1 << 62, Listing: l, Peers: []string{"10.0.0.9:1"}},
		&wire.Goodbye{Left: []*wire.Left{{Name: "auth", Host: "h", Port: 1}}, Nonce: new(int64(7))},
		&wire.Probe{Nonce: 9, Services: []string{"auth"}, Pad: make([]byte, 3)},
		&wire.Alarm{Owner: &wire.Owner{Host: "node-2", Pid: 12, Epoch: 1 << 50}},
	}
	var out []packet
	for i, b := range bodies {
		out = append(out, packet{kind: announce + kind(i), sender: sender, seq: uint64(i) << 40, body: b})
	}
	return out
}

func TestPacketRoundTrip(t *testing.T) {
	c := newCodec("site", ring("secret"))
	for _, p := range samples() {
		data, err := c.seal(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.open(data)
		p.size = len(data)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("kind %d: %+v, %v; want %+v", p.kind, got, err, p)
		}
		for n := range data {
			if _, err := c.open(data[:n]); err == nil {
				t.Errorf("kind %d: %d of %d bytes were taken for a packet", p.kind, n, len(data))
			}
			bad := bytes.Clone(data)
			bad[n] ^= 1
			if _, err := c.open(bad); err == nil {
				t.Errorf("kind %d: a flipped bit in byte %d was not noticed", p.kind, n)
			}
		}
	}
}

func TestPacketRefused(t *testing.T) {
	p := samples()[0]
	right := newCodec("site", ring("secret"))
	keyless := newCodec("site", nil)
	data, err := right.seal(p)
	if err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 60)
	long := append(bytes.Clone(data), make([]byte, MaxPacket)...)
	version, old := bytes.Clone(data), bytes.Clone(data)
	version[4], old[4] = 9, oldVersion
	for name, c := range map[string]struct {
		codec codec
		data  []byte
		want  error
	}{
		"other cluster":    {newCodec("sate", ring("secret")), data, errForeign},
		"other key":        {newCodec("site", ring("secrets")), data, errMAC},
		"no key":           {keyless, data, errMAC},
		"other version":    {right, version, errVersion},
		"before 0.2":       {right, old, errOld},
		"before, foreign":  {newCodec("sate", ring("secret")), old, errForeign},
		"last of nine":     {newCodec("site", ring("1", "2", "3", "4", "5", "6", "7", "8", "secret")), data, errMAC},
		"too long":         {right, long, errMalformed},
		"nothing":          {keyless, nil, errMalformed},
		"something":        {keyless, []byte(strings.Repeat("x", 100)), errMalformed},
		"length past end":  {keyless, append([]byte("skry\x02\x01\xff"), room...), errMalformed},
		"unknown kind":     {keyless, append([]byte("skry\x02\x09\x04site"), room...), errMalformed},
		"no cluster named": {keyless, append([]byte("skry\x02\x01\x00\x00"), room...), errForeign},
	} {
		if _, err := c.codec.open(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestRing: the first key seals, all open.
func TestRing(t *testing.T) {
	newer, older := newCodec("site", ring("new", "old")), newCodec("site", ring("old", "new"))
	p := samples()[0]
	oldest := newCodec("site", ring("old"))
	for _, c := range []struct{ from, to codec }{{newer, older}, {older, newer}, {oldest, newer}} {
		data, err := c.from.seal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.to.open(data); err != nil {
			t.Error(err)
		}
	}
	data, _ := newer.seal(p)
	if _, err := newCodec("site", ring("old")).open(data); !errors.Is(err, errMAC) {
		t.Errorf("sealed by the first key, opened without it: %v", err)
	}
}

// TestPacketText: a packet is refused when it has names, hosts or numbers that no honest process
// sends.
func TestPacketText(t *testing.T) {
	c := newCodec("site", ring("secret"))
	announced := func(l wire.Listing) thrift.TStruct { return &wire.Announce{Listing: &l} }
	most := math.MaxInt32
	bad := map[string]packet{
		"host of the sender": {
			kind:   probe,
			sender: registry.Owner{Host: "a\x1b[2J", PID: 1},
			body:   &wire.Probe{},
		},
		"sender in no UTF-8": {kind: probe, sender: registry.Owner{Host: "a\xff", PID: 1}, body: &wire.Probe{}},
		"long host of the sender": {
			kind:   probe,
			sender: registry.Owner{Host: strings.Repeat("h", 64), PID: 1},
			body:   &wire.Probe{},
		},
		"negative process": {kind: probe, sender: registry.Owner{Host: "h", PID: -1}, body: &wire.Probe{}},
		"huge process": {
			kind:   probe,
			sender: registry.Owner{Host: "h", PID: most + 1},
			body:   &wire.Probe{},
		},
		"service asked for":        {kind: query, body: &wire.Query{Services: []string{"a\nb"}}},
		"service of a probe":       {kind: probe, body: &wire.Probe{Services: []string{"\x1b"}}},
		"many services of a probe": {kind: probe, body: &wire.Probe{Services: slices.Repeat([]string{"a"}, 17)}},
		"name":                     {kind: announce, body: announced(wire.Listing{Names: []string{"a b"}})},
		"scope":                    {kind: announce, body: announced(wire.Listing{Scope: []string{"a\x00"}})},
		"hash":                     {kind: announce, body: announced(wire.Listing{Hash: []byte("short")})},
		"seal":                     {kind: announce, body: announced(wire.Listing{Seal: []byte("short")})},
		"fetch, port":              {kind: announce, body: announced(wire.Listing{Fetch: new("10.0.0.1:70000")})},
		"fetch, port 0":            {kind: announce, body: announced(wire.Listing{Fetch: new(":0")})},
		"fetch, host":              {kind: announce, body: announced(wire.Listing{Fetch: new("a\x1b:7")})},
		"fetch, long": {
			kind: announce,
			body: announced(wire.Listing{Fetch: new(strings.Repeat("h", 300) + ":7")}),
		},
		"left, port": {
			kind: goodbye,
			body: &wire.Goodbye{Left: []*wire.Left{{Name: "a", Host: "h", Port: 1 << 20}}},
		},
		"left, negative port": {
			kind: goodbye,
			body: &wire.Goodbye{Left: []*wire.Left{{Name: "a", Host: "h", Port: -1}}},
		},
		"left, host": {
			kind: goodbye,
			body: &wire.Goodbye{Left: []*wire.Left{{Name: "a", Host: "h\r", Port: 1}}},
		},
		"left, version": {
			kind: goodbye,
			body: &wire.Goodbye{Left: []*wire.Left{{Name: "a", Version: new("v\t"), Host: "h", Port: 1}}},
		},
		"alarm":          {kind: alarm, body: &wire.Alarm{Owner: &wire.Owner{Host: "h\x7f", Pid: 1}}},
		"alarm, process": {kind: alarm, body: &wire.Alarm{Owner: &wire.Owner{Host: "h", Pid: -5}}},
	}
	for name, p := range bad {
		if p.sender.Host == "" {
			p.sender = sender
		}
		data, err := c.seal(p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := c.open(data); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v, want malformed", name, err)
		}
	}
}

// TestPackSize: every packed listing fits, whatever is offered.
func TestPackSize(t *testing.T) {
	if MaxPacket > 1280-40-8 { // the smallest MTU of IPv6, minus its header and UDP's
		t.Errorf("a datagram of %d bytes may be cut in pieces", MaxPacket)
	}
	c := newCore(
		strings.Repeat("c", 63),
		nil,
		registry.Owner{Host: strings.Repeat("h", 63), PID: 4194304, Epoch: 1 << 62},
		time.Minute,
		nil,
	)
	c.links = 1
	c.fetchAddr = func() string { return strings.Repeat("f", 200) + ":65535" }
	now := time.Now()
	for n := range 40 {
		in := registry.Instance{
			Service: strings.Repeat("s", 40+n%20),
			Version: strings.Repeat("v", 1+n),
			Host:    strings.Repeat("a", 250),
			Port:    65535,
			Zone:    strings.Repeat("z", 63),
			Tags:    map[string]string{"t": strings.Repeat("x", 255)},
			Weight:  1,
			Started: now,
		}
		in.Service = in.Service[:len(in.Service)-n%3]
		if err := in.Check(); err != nil {
			t.Fatal(err)
		}
		c.offered[in.ID()] = in
		regs := c.registrations(now)
		room := c.room(c.self) - 32
		all := packParts(regs, c.base(), room, nil)
		for _, l := range append(all, pack(regs, c.base(), room, []string{in.Service})) {
			p := packet{kind: answer, sender: c.self, seq: seqMost - 1, body: &wire.Answer{Nonce: -1 << 63, Listing: l}}
			if _, err := c.seal(p); err != nil {
				t.Fatalf("%d registrations: %v", n+1, err)
			}
		}
		for _, body := range packGoodbyes(idsOf(c), c.room(c.self)) {
			if _, err := c.seal(packet{kind: goodbye, sender: c.self, body: body}); err != nil {
				t.Fatalf("%d goodbyes: %v", n+1, err)
			}
		}
	}
}

func idsOf(c *core) (out []registry.ID) {
	for id := range c.offered {
		out = append(out, id)
	}
	return out
}

func TestWindow(t *testing.T) {
	var w replayWindow
	for _, c := range []struct {
		seq  uint64
		want bool
	}{
		{5, true}, {5, false}, {4, true}, {4, false}, {70, true}, {6, false}, {7, true}, {7, false},
		{70 + seqAhead + 1, false}, {70 + seqAhead, true}, {70, false},
	} {
		if got := w.admit(c.seq); got != c.want {
			t.Errorf("admit(%d) = %t, want %t", c.seq, got, c.want)
		}
	}
	w.restart(100)
	if w.admit(100) || !w.admit(99) || w.admit(36) || !w.admit(37) {
		t.Error("after begin(100) the window is not 37..99")
	}
}

func TestBucket(t *testing.T) {
	b, now := newBucket(10, 5), time.Unix(0, 0)
	took := 0
	for range 1000 { // ten seconds
		now = now.Add(10 * time.Millisecond)
		if b.take(now) {
			took++
		}
	}
	if took < 100 || took > 105 {
		t.Errorf("%d tokens in 10 s at 10 a second", took)
	}
}
