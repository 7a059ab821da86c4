package broadcast

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

// FuzzOpen gives the decoder packets of strangers and, sealed by the right key, of members of the
// cluster.
func FuzzOpen(f *testing.F) {
	c := newCodec("site", ring("secret"))
	for _, p := range samples() {
		data, err := c.seal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)-macSize])
	}
	f.Add([]byte("skry\x02\x01\x04site\x04h/1/1\x00\x00\x00\x00\x00\x00\x00\x01\x1c\x19\xfc\xff\xff\xff\xff\x07"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := c.open(data); err == nil && len(data) > MaxPacket {
			t.Fatal("too long a packet was taken")
		}
		p, err := c.open(append(bytes.Clone(data), mac(c.keys[0], data)...))
		if err != nil {
			return
		}
		again, err := c.seal(p)
		if err != nil {
			return // decoded, but larger when encoded here
		}
		p.size = len(again)
		if q, err := c.open(again); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v, %v", p, q, err)
		}
		fuzzCore(t, p)
	})
}

// fuzzCore gives a packet to a process that does not know its sender, and to one that does, and
// advances the time. Bytes to an address that has not answered stay within their bounds, and so do
// timers.
func fuzzCore(t *testing.T, p packet) {
	for _, known := range []bool{false, true} {
		now := time.Unix(1_700_000_000, 0)
		n := newCore("site", ring("secret"), registry.Owner{Host: "h", PID: 2, Epoch: 2}, time.Minute, testRand())
		n.linksChanged(now, 1, true)
		n.returns = newBucket(0, 0) // the few senders that are probed longer have their own limit
		n.put(now, []registry.Instance{{Service: "auth", Host: "10.0.0.2", Port: 7000}})
		n.want(now, []string{"auth"}, true)
		home := path{addr: netip.MustParseAddrPort("10.0.0.3:7800"), link: 1}
		if known && p.sender != n.self {
			peer := n.addPeer(p.sender, home, now)
			peer.replay.restart(1)
			n.learnPath(peer, home, now)
			n.markAlive(peer, now)
		}
		n.outbox = nil
		from := path{addr: netip.MustParseAddrPort("10.0.0.9:7800"), link: 1}
		n.receive(now, p, from, true)
		n.receive(now, p, home, false)
		sent := 0
		for range 50 {
			now = now.Add(100 * time.Millisecond)
			n.wake(now)
			for _, o := range n.outbox {
				for _, to := range o.to {
					if to == from {
						sent += len(o.data)
					}
				}
			}
			n.outbox = nil
		}
		if sent > amplify*p.size {
			t.Fatalf("%d bytes were sent because of %d", sent, p.size)
		}
		if len(n.timers) > 1000 || len(n.peers) > 3 {
			t.Fatalf("%d timers, %d peers", len(n.timers), len(n.peers))
		}
	}
}
