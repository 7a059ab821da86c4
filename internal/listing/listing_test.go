package listing_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

var owner = registry.Owner{Host: "node-1", PID: 4711, Epoch: 1_700_000_000_000_000}

func TestRoundTrip(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	skew := 3 * time.Hour // between the clocks of sender and receiver
	for name, in := range map[string]registry.Instance{
		"the least": {Service: "auth", Host: "10.0.0.5", Port: 7000},
		"everything": {Service: "auth", Version: "v1", Host: "10.0.0.5", Port: 7000, Zone: "east", Weight: 7, TLS: true,
			Leaving: true, Protocol: registry.ProtocolFramedBinary, Tags: map[string]string{"k": "v"},
			Started: now.Add(-time.Hour)},
	} {
		in.Owner = owner
		got, err := listing.Decode(listing.Encode(in, now), owner, now.Add(skew))
		if err != nil || !got.Equal(in) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, in)
		}
		if !in.Started.IsZero() && !got.Started.Equal(in.Started.Add(skew)) {
			t.Errorf("%s: started %v, want an hour before the receiver's now", name, got.Started)
		}
	}
	bad := &wire.Registration{Name: "auth", Host: "10.0.0.5", Port: 1 << 20}
	if _, err := listing.Decode(bad, owner, now); !errors.Is(err, registry.ErrInvalid) {
		t.Errorf("port 2^20: %v", err)
	}
}

func TestHash(t *testing.T) {
	a := registry.Instance{Service: "a", Host: "h", Port: 1, Tags: map[string]string{"x": "1", "y": "2"}}
	b := registry.Instance{Service: "b", Host: "h", Port: 1}
	same := a
	same.Started = time.Now()
	same.Protocol = registry.ProtocolSkerry
	if !bytes.Equal(listing.Hash([]registry.Instance{a, b}), listing.Hash([]registry.Instance{b, same})) {
		t.Error("order, age or the spelling of a default changes the hash")
	}
	for part, change := range map[string]func(*registry.Instance){
		"tag":     func(in *registry.Instance) { in.Tags = map[string]string{"x": "1", "y": "3"} },
		"leaving": func(in *registry.Instance) { in.Leaving = true },
		"weight":  func(in *registry.Instance) { in.Weight = 7 },
	} {
		other := a
		change(&other)
		if bytes.Equal(listing.Hash([]registry.Instance{a}), listing.Hash([]registry.Instance{other})) {
			t.Errorf("another %s leaves the hash as it was", part)
		}
	}
}
