package listing

import (
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// maxUptime is the longest believed age of a provider.
const maxUptime = 100 * 365 * 24 * time.Hour

// Encode is an instance in its Thrift form. now is the sender's clock; the age of the provider is
// measured by it.
func Encode(in registry.Instance, now time.Time) *wire.Registration {
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

// Decode is the instance of a registration of the owner. now is the receiver's clock. The error
// wraps registry.ErrInvalid.
func Decode(w *wire.Registration, owner registry.Owner, now time.Time) (registry.Instance, error) {
	in := registry.Instance{
		Service:  w.Name,
		Version:  w.GetVersion(),
		Host:     w.Host,
		Port:     int(w.Port),
		Protocol: registry.Protocol(w.GetProtocol()),
		Zone:     w.GetZone(),
		Weight:   int(w.GetWeight()),
		TLS:      w.GetTLS(),
		Leaving:  w.GetLeaving(),
		Owner:    owner,
	}
	if len(w.Tags) > 0 {
		in.Tags = w.Tags
	}
	if w.IsSetUptimeMs() && *w.UptimeMs >= 0 && *w.UptimeMs < int64(maxUptime/time.Millisecond) {
		in.Started = now.Add(-time.Duration(*w.UptimeMs) * time.Millisecond)
	}
	return in, in.Check()
}
