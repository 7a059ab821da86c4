package registry

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"
)

// Protocol says how the bytes of an instance's port are to be written. It is
// also the spelling in configuration files and registry rows.
type Protocol string

// The protocols of wire.md. The empty Protocol means ProtocolSkerry.
const (
	ProtocolSkerry          Protocol = "skerry"           // THeader, many calls on one connection
	ProtocolHeader          Protocol = "header"           // THeader as stock libraries speak it: one call at a time
	ProtocolFramedBinary    Protocol = "framed-binary"    // TFramedTransport + TBinaryProtocol
	ProtocolFramedCompact   Protocol = "framed-compact"   // TFramedTransport + TCompactProtocol
	ProtocolUnframedBinary  Protocol = "unframed-binary"  // TBufferedTransport + TBinaryProtocol
	ProtocolUnframedCompact Protocol = "unframed-compact" // TBufferedTransport + TCompactProtocol
	ProtocolHTTP            Protocol = "http"             // no Thrift: an HTTP service for users, reached through the gateway
)

// Protocols lists every protocol in the order of the constants.
func Protocols() []Protocol {
	return []Protocol{ProtocolSkerry, ProtocolHeader, ProtocolFramedBinary, ProtocolFramedCompact,
		ProtocolUnframedBinary, ProtocolUnframedCompact, ProtocolHTTP}
}

// Thrift reports whether instances of the protocol can be called.
func (p Protocol) Thrift() bool { return p != ProtocolHTTP }

// Tags by which a Thrift server that is none of skerry's is described. They are set by `skerry
// announce` and skerry proxy.
const (
	TagPrefix      = "thrift-prefix"      // in front of its methods' names, as in "Auth:getToken"
	TagConcurrency = "thrift-concurrency" // connections that it serves at a time
	TagProgram     = "skerry-program"     // of another language, behind the proxy that is listed
)

// Prefix is what a plain Thrift server expects before the names of its methods:
// the name that its TMultiplexedProcessor has for the service. "" means none.
func (in *Instance) Prefix() string { return in.Tags[TagPrefix] }

// SetPrefix sets what [Instance.Prefix] returns, as a tag.
func (in *Instance) SetPrefix(prefix string) { in.setTag(TagPrefix, prefix) }

// Concurrency is how many connections a plain Thrift server serves at a time;
// 0 means that it is not known.
func (in *Instance) Concurrency() int {
	n, _ := strconv.Atoi(in.Tags[TagConcurrency])
	return max(0, min(n, MaxConcurrency))
}

// SetConcurrency sets what [Instance.Concurrency] returns, as a tag.
func (in *Instance) SetConcurrency(n int) { in.setTag(TagConcurrency, strconv.Itoa(n)) }

// setTag replaces the map, which other instances may share.
func (in *Instance) setTag(key, value string) {
	tags := maps.Clone(in.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[key] = value
	in.Tags = tags
}

// DefaultWeight is the weight of an instance that names none.
const DefaultWeight = 100

// ID names one registration for good: the service, the address, and the boot
// epoch of the process that owns it, so that two processes on one host, or a
// quick restart on the same port, never stand for one another.
// Version is part of it because one address may be listed under several
// versions. It is comparable and usable as a map key.
type ID struct {
	Service string
	Version string
	Addr    string // host:port as net.JoinHostPort writes it
	Epoch   int64  // boot epoch of the owner, microseconds
}

// String is the ID as people read it: auth/v1@10.0.0.5:7000#18c2f….
func (id ID) String() string {
	v := id.Service
	if id.Version != "" {
		v += "/" + id.Version
	}
	return fmt.Sprintf("%s@%s#%s", v, id.Addr, strconv.FormatInt(id.Epoch, 36))
}

// Instance is one registration: a service that can be called at an address.
// Values are immutable once they were handed to a registry or a watcher;
// Tags must not be written to after that.
type Instance struct {
	Service  string            // name that consumers call by; see CheckName
	Version  string            // version of the service, "" when the provider names none
	Host     string            // IP address or host name that consumers connect to
	Port     int               // TCP port, 1 to 65535
	Protocol Protocol          // how to talk to it; "" means ProtocolSkerry
	Zone     string            // where it runs, for "same zone first"; "" = unknown
	Weight   int               // share of calls against its peers; 0 means DefaultWeight, -1 means none
	Tags     map[string]string // free labels for routing rules
	TLS      bool              // the port speaks TLS
	Heard    uint32            // last heartbeat, or word on the LAN, as known when the list was read: Unix time in seconds, on the reader's clock; 0 = unknown
	Owner    Owner             // process that registered it
	Leaving  bool              // it is stopping, and still executes what comes: called only when there is no other
	Started  time.Time         // start of the provider, on the reader's clock; zero = unknown
}

// ID returns the instance's identity.
func (in Instance) ID() ID {
	return ID{Service: in.Service, Version: in.Version, Addr: in.Addr(), Epoch: in.Owner.Epoch}
}

// Addr is host:port, with brackets around an IPv6 address.
func (in Instance) Addr() string { return net.JoinHostPort(in.Host, strconv.Itoa(in.Port)) }

// EffectiveWeight resolves the zero value and the "none" of Weight.
func (in Instance) EffectiveWeight() int {
	switch {
	case in.Weight == 0:
		return DefaultWeight
	case in.Weight < 0:
		return 0
	}
	return in.Weight
}

// Equal reports whether two instances say the same. Started and Heard are
// left out: two readings of one start differ by the time they took.
func (in Instance) Equal(o Instance) bool {
	return sameID(&in, &o) && in.Protocol == o.Protocol && in.Zone == o.Zone && in.TLS == o.TLS &&
		in.Leaving == o.Leaving &&
		in.Weight == o.Weight &&
		in.Owner == o.Owner &&
		maps.Equal(in.Tags, o.Tags)
}

// sameID is a comparison of IDs that makes none.
func sameID(a, b *Instance) bool {
	return a.Owner.Epoch == b.Owner.Epoch && a.Port == b.Port && a.Host == b.Host && a.Service == b.Service &&
		a.Version == b.Version
}

// Compare orders instances by service, version, address and epoch; it is the
// order of every Snapshot.
func Compare(a, b Instance) int { return a.Compare(&b) }

// Compare is the function Compare for long lists: it copies no instance and does
// not allocate.
func (in *Instance) Compare(o *Instance) int {
	if c := strings.Compare(in.Service, o.Service); c != 0 {
		return c
	}
	if c := strings.Compare(in.Version, o.Version); c != 0 {
		return c
	}
	if c := compareAddr(in, o); c != 0 {
		return c
	}
	return cmp.Compare(in.Owner.Epoch, o.Owner.Epoch)
}

// compareAddr orders by the text of Addr.
func compareAddr(a, b *Instance) int {
	if a.Port == b.Port && a.Host == b.Host {
		return 0
	}
	var one, two [64]byte // longer ones allocate
	return bytes.Compare(appendAddr(one[:0], a), appendAddr(two[:0], b))
}

// appendAddr is net.JoinHostPort.
func appendAddr(to []byte, in *Instance) []byte {
	if strings.IndexByte(in.Host, ':') >= 0 {
		to = append(append(append(to, '['), in.Host...), ']')
	} else {
		to = append(to, in.Host...)
	}
	return strconv.AppendInt(append(to, ':'), int64(in.Port), 10)
}

// Compare orders identities as the function Compare orders instances.
func (id ID) Compare(o ID) int {
	return cmp.Or(
		strings.Compare(id.Service, o.Service),
		strings.Compare(id.Version, o.Version),
		strings.Compare(id.Addr, o.Addr),
		cmp.Compare(id.Epoch, o.Epoch),
	)
}
