package registry

import (
	"context"
	"errors"
	"time"
)

// Registry lists the instances of one cluster. All methods may be called from any goroutine,
// before, during and after Run. Wishes from before Run are carried out when Run begins.
type Registry interface {
	// Run does the registry's work (connections, heartbeats, announcements, notifications) until
	// ctx ends. It survives every outage of its database or network, and returns an error only when
	// no retry can help. When ctx ends it withdraws the remaining registrations, within two
	// seconds, and returns nil.
	Run(ctx context.Context) error

	// Register makes the instances listed and keeps them listed. It replaces an earlier
	// registration with the same ID. It returns when the registry has listed them. If ctx ends
	// before that, it returns an error wrapping ErrPending, and the registry goes on trying. It
	// refuses invalid instances (ErrInvalid) and does not list them.
	Register(ctx context.Context, instances ...Instance) error

	// Deregister removes registrations of this owner, and watchers see them in Gone. Unknown IDs
	// are not an error. Like Register it returns when done, or with ErrPending.
	Deregister(ctx context.Context, ids ...ID) error

	// Watch calls f with the current list of a service, then with every later one, from one
	// goroutine at a time, until stop is called. stop waits for a running f and must not be called
	// by f. The first call comes as soon as the registry knows the list; a registry that can't be
	// reached calls f with Lost set. A list that was read again without a change is shown again,
	// with a newer Read.
	//
	// The name AllServices watches everything, one Snapshot for each service. A Snapshot of the
	// service AllServices itself lists nothing: it says that all the others have been shown, or
	// that the registry is lost.
	Watch(service string, f func(Snapshot)) (stop func())
}

// AllServices is the service name by which Watch watches every service.
const AllServices = "*"

// Snapshot is the list of one service's instances as one registry knows it. It is immutable.
type Snapshot struct {
	Service   string
	Source    string      // the registry: "database", "lan", "memory", "disk"
	Instances []Instance  // in the order of Compare
	Gone      []Departure // recently departed, newest last; kept for ten minutes
	Read      time.Time   // when the list was last confirmed, by the reader's clock
	Lost      error       // not nil: the registry can't be reached; the list is the last known one
	Partial   bool        // the source only hears part of the site and can't vouch for a complete list (a LAN)
}

// Departure says that an instance left, and how. A database that finds a lease expired says
// Expired. An instance that said goodbye is Deregistered. An instance that did not answer a probe
// is Silent.
type Departure struct {
	ID   ID
	Kind DepartureKind
	When time.Time // reader's clock
}

// DepartureKind is the manner of a departure.
type DepartureKind uint8

// The kinds of departures.
const (
	Deregistered DepartureKind = iota + 1 // said goodbye or was replaced: it gets no more calls
	Expired                               // its lease ran out: maybe dead, maybe cut off from the registry
	Silent                                // did not answer repeated probes
)

// String is the kind as text.
func (k DepartureKind) String() string {
	switch k {
	case Deregistered:
		return "withdrawn"
	case Expired:
		return "expired"
	case Silent:
		return "silent"
	}
	return "unknown"
}

// Errors for errors.Is.
var (
	// ErrInvalid: the instance or name breaks a rule; the text names the rule.
	ErrInvalid = errors.New("invalid instance")
	// ErrPending: not done yet; the registry goes on trying by itself.
	ErrPending = errors.New("not registered yet, still trying")
	// ErrUnavailable: the registry can't be reached now.
	ErrUnavailable = errors.New("registry unavailable")
)
