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

// Protocol is the protocol of an instance's port. It is also the spelling in configuration files
// and registry rows.
type Protocol string

// The protocols. The empty Protocol means ProtocolSkerry.
const (
	ProtocolSkerry          Protocol = "skerry"           // THeader, many calls on one connection
	ProtocolHeader          Protocol = "header"           // THeader in the form of stock libraries: one call at a time
	ProtocolFramedBinary    Protocol = "framed-binary"    // TFramedTransport + TBinaryProtocol
	ProtocolFramedCompact   Protocol = "framed-compact"   // TFramedTransport + TCompactProtocol
	ProtocolUnframedBinary  Protocol = "unframed-binary"  // TBufferedTransport + TBinaryProtocol
	ProtocolUnframedCompact Protocol = "unframed-compact" // TBufferedTransport + TCompactProtocol
	ProtocolHTTP            Protocol = "http"             // not Thrift: HTTP for users, reached through the gateway
)

// Protocols lists every protocol in the order of the constants.
func Protocols() []Protocol {
	return []Protocol{ProtocolSkerry, ProtocolHeader, ProtocolFramedBinary, ProtocolFramedCompact,
		ProtocolUnframedBinary, ProtocolUnframedCompact, ProtocolHTTP}
}

// Thrift reports whether instances of the protocol can be called.
func (p Protocol) Thrift() bool { return p != ProtocolHTTP }

// Tags that describe a Thrift server of another program than skerry. `skerry announce` and skerry
// proxy set them.
const (
	tagPrefix      = "thrift-prefix"      // in front of its methods' names, as in "Auth:getToken"
	tagConcurrency = "thrift-concurrency" // connections that the server serves at a time
	TagProgram     = "skerry-program"     // program of another language, behind the listed proxy
)

// Prefix is the text that a plain Thrift server expects before the names of its methods: the name
// of the service in its TMultiplexedProcessor. "" means none.
func (in *Instance) Prefix() string { return in.Tags[tagPrefix] }

// SetPrefix sets the result of [Instance.Prefix], as a tag.
func (in *Instance) SetPrefix(prefix string) { in.setTag(tagPrefix, prefix) }

// Concurrency is how many connections a plain Thrift server serves at a time; 0 means unknown.
func (in *Instance) Concurrency() int {
	n, _ := strconv.Atoi(in.Tags[tagConcurrency])
	return max(0, min(n, MaxConcurrency))
}

// SetConcurrency sets the result of [Instance.Concurrency], as a tag.
func (in *Instance) SetConcurrency(n int) { in.setTag(tagConcurrency, strconv.Itoa(n)) }

// setTag replaces the map, because other instances may share it.
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

// ID names one registration for good: the service, the address, and the boot epoch of the owner
// process. Two processes on one host, or a quick restart on the same port, therefore never share an
// ID. Version is part of it because one address may be listed under several versions. It is
// comparable and usable as a map key.
type ID struct {
	Service string
	Version string
	Addr    string // host:port as net.JoinHostPort writes it
	Epoch   int64  // boot epoch of the owner, microseconds
}

// String is the ID as text: auth/v1@10.0.0.5:7000#18c2f….
func (id ID) String() string {
	v := id.Service
	if id.Version != "" {
		v += "/" + id.Version
	}
	return fmt.Sprintf("%s@%s#%s", v, id.Addr, strconv.FormatInt(id.Epoch, 36))
}

// Instance is one registration: a service that can be called at an address. A value is immutable
// once a registry or a watcher has it; Tags must not be written to after that.
type Instance struct {
	Service  string            // name for consumers; see CheckName
	Version  string            // version of the service, "" when the provider names none
	Host     string            // IP address or host name that consumers connect to
	Port     int               // TCP port, 1 to 65535
	Protocol Protocol          // of the port; "" means ProtocolSkerry
	Zone     string            // location, for "same zone first"; "" = unknown
	Weight   int               // share of calls relative to its peers; 0 means DefaultWeight, -1 means none
	Tags     map[string]string // free labels for routing rules
	TLS      bool              // the port speaks TLS
	Heard    uint32            // last heartbeat or LAN packet: Unix seconds, reader's clock; 0 = unknown
	Owner    Owner             // process that registered it
	Leaving  bool              // it is stopping and still executes calls: called only while there is no other
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

// Equal reports whether two instances have the same content. It ignores Started and Heard: two
// readings of one start differ by the time they took.
func (in Instance) Equal(o Instance) bool {
	return sameID(&in, &o) && in.Protocol == o.Protocol && in.Zone == o.Zone && in.TLS == o.TLS &&
		in.Leaving == o.Leaving &&
		in.Weight == o.Weight &&
		in.Owner == o.Owner &&
		maps.Equal(in.Tags, o.Tags)
}

// sameID compares the IDs without making them.
func sameID(a, b *Instance) bool {
	return a.Owner.Epoch == b.Owner.Epoch && a.Port == b.Port && a.Host == b.Host && a.Service == b.Service &&
		a.Version == b.Version
}

// Compare orders instances by service, version, address and epoch. Every Snapshot has this order.
func Compare(a, b Instance) int { return a.Compare(&b) }

// Compare is the function Compare for long lists: it copies no instance and does not allocate.
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
	var one, two [64]byte // longer addresses allocate
	return bytes.Compare(appendAddr(one[:0], a), appendAddr(two[:0], b))
}

// appendAddr appends the text of net.JoinHostPort.
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
