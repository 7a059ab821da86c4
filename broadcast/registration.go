package broadcast

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// ToWire is an instance as it travels; now is the sender's clock, by which
// the age of the provider is measured.
func ToWire(in registry.Instance, now time.Time) *wire.Registration {
	w := &wire.Registration{Name: in.Service, Host: in.Host, Port: int32(in.Port), Tags: in.Tags}
	if in.Version != "" {
		w.Version = &in.Version
	}
	if in.Protocol != "" {
		w.Protocol = (*string)(&in.Protocol)
	}
	if in.Zone != "" {
		w.Zone = &in.Zone
	}
	if in.Weight != 0 {
		weight := int32(in.Weight)
		w.Weight = &weight
	}
	if in.TLS {
		w.TLS = &in.TLS
	}
	if in.Leaving {
		w.Leaving = &in.Leaving
	}
	if !in.Started.IsZero() {
		age := max(0, now.Sub(in.Started).Milliseconds())
		w.UptimeMs = &age
	}
	return w
}

// FromWire is a registration as this process sees it; now is the receiver's
// clock. The error wraps registry.ErrInvalid.
func FromWire(w *wire.Registration, owner registry.Owner, now time.Time) (registry.Instance, error) {
	in := registry.Instance{
		Service: w.Name, Version: w.GetVersion(), Host: w.Host, Port: int(w.Port),
		Protocol: registry.Protocol(w.GetProtocol()), Zone: w.GetZone(), Weight: int(w.GetWeight()),
		TLS: w.GetTLS(), Leaving: w.GetLeaving(), Owner: owner,
	}
	if len(w.Tags) > 0 {
		in.Tags = w.Tags
	}
	if w.IsSetUptimeMs() && *w.UptimeMs >= 0 && *w.UptimeMs < int64(maxUptime/time.Millisecond) {
		in.Started = now.Add(-time.Duration(*w.UptimeMs) * time.Millisecond)
	}
	return in, registry.Check(in)
}

// maxUptime is the longest age believed.
const maxUptime = 100 * 365 * 24 * time.Hour

// HashSize is the length of a content hash in bytes.
const HashSize = 16

// ContentHash is the same for two lists that say the same, in any order and
// whatever the age of the instances. It is a cut SHA-256, so that a list
// fetched over an unauthenticated connection can be held against the hash
// that an authenticated packet named.
func ContentHash(list []registry.Instance) []byte {
	h := sha256.New()
	for _, in := range slices.SortedFunc(slices.Values(list), registry.Compare) {
		fmt.Fprintf(h, "%q %q %q %q %q %d %t %d\n", in.Service, in.Version, in.Addr(),
			cmp.Or(in.Protocol, registry.ProtocolSkerry), in.Zone, in.Weight, in.TLS, len(in.Tags))
		if in.Leaving {
			fmt.Fprintln(h, "leaving")
		}
		for _, k := range slices.Sorted(maps.Keys(in.Tags)) {
			fmt.Fprintf(h, "%q %q\n", k, in.Tags[k])
		}
	}
	return h.Sum(nil)[:HashSize]
}
