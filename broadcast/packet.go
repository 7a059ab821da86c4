package broadcast

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// MaxPacket is the size of the largest datagram sent or read, in bytes.
const MaxPacket = 1200

const (
	magic         = "skry"
	packetVersion = 2
	oldVersion    = 1 // of processes before 0.2
	macSize       = sha256.Size
	keySize       = 32
	ringMost      = 8       // keys of a ring that are tried, and so MACs per packet
	seqMost       = 1 << 62 // sequence numbers are below it
)

// kind is the type of a packet.
type kind uint8

const (
	announce kind = iota + 1
	query
	answer
	goodbye
	probe
	alarm
)

// packet is one datagram, opened. On the wire:
//
//	"skry" | version 1 byte | kind 1 | n 1 | cluster n | m 1 | sender m | sequence 8 | body | HMAC-SHA256 32
//
// The sender is registry.Owner.String, the sequence big-endian, the body a
// struct of internal/wire/skerry.thrift in the compact protocol, and the MAC is taken
// over everything before it.
type packet struct {
	kind   kind
	sender registry.Owner
	seq    uint64
	body   thrift.TStruct
	size   int // of the datagram that was opened

	keyless bool // with errMAC: sealed as by a process without a key of the site
}

// Reasons to refuse a datagram. The cheap checks come first.
var (
	errMalformed = errors.New("malformed")
	errVersion   = errors.New("other packet version")
	errOld       = errors.New("a process of skerry before 0.2")
	errForeign   = errors.New("other cluster")
	errMAC       = errors.New("wrong key")
	errNoKey     = errors.New("the sender has the site's key, and this process has none")
	errKeyless   = errors.New("a process of this host has no key of the site")
)

// foreignError carries the cluster's name in a packet of another cluster.
type foreignError struct{ cluster string }

func (e foreignError) Error() string        { return fmt.Sprintf("cluster %q", e.cluster) }
func (e foreignError) Is(target error) bool { return target == errForeign }

// codec seals and opens the packets of one cluster. It is safe for
// concurrent use.
type codec struct {
	cluster string
	keys    [][]byte // the first seals, all open; never empty
	without []byte   // key of processes that have none of the site; nil when keys holds it
}

// newCodec takes the packet keys of a ring. Without one it derives the key from the cluster's name,
// which separates systems and authenticates nothing.
func newCodec(cluster string, ring [][]byte) codec {
	without := mac(nil, []byte("skerry lan 2, no key\x00"+cluster))
	if len(ring) == 0 {
		return codec{cluster: cluster, keys: [][]byte{without}}
	}
	return codec{cluster: cluster, keys: ring[:min(len(ring), ringMost)], without: without}
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// authentic reports whether a key of the ring made the MAC.
func (c codec) authentic(signed, sum []byte) bool {
	return slices.ContainsFunc(c.keys, func(key []byte) bool { return hmac.Equal(mac(key, signed), sum) })
}

// room is the size in bytes of the largest body of the sender.
func (c codec) room(sender registry.Owner) int {
	return MaxPacket - len(magic) - 2 - 1 - len(c.cluster) - 1 - len(sender.String()) - 8 - macSize
}

func (c codec) seal(p packet) ([]byte, error) {
	sender := p.sender.String()
	if len(sender) > 255 || len(c.cluster) > 255 {
		return nil, fmt.Errorf("seal packet: sender %q or cluster %q too long", sender, c.cluster)
	}
	body, err := encode(p.body)
	if err != nil {
		return nil, fmt.Errorf("seal packet: %w", err)
	}
	out := make([]byte, 0, MaxPacket)
	out = append(out, magic...)
	out = append(out, packetVersion, byte(p.kind), byte(len(c.cluster)))
	out = append(out, c.cluster...)
	out = append(out, byte(len(sender)))
	out = append(out, sender...)
	out = binary.BigEndian.AppendUint64(out, p.seq)
	out = append(out, body...)
	out = append(out, mac(c.keys[0], out)...)
	if len(out) > MaxPacket {
		return nil, fmt.Errorf("seal packet: %d bytes, at most %d may be sent", len(out), MaxPacket)
	}
	return out, nil
}

// open checks and decodes a datagram. It keeps no reference to data. With errMAC, errOld and
// errForeign it returns the kind and sender that the header claims.
func (c codec) open(data []byte) (packet, error) {
	p := packet{size: len(data)}
	head := len(magic) + 2
	if len(data) < head+1+1+8+macSize || len(data) > MaxPacket || string(data[:len(magic)]) != magic {
		return p, errMalformed
	}
	version := data[4]
	if version != packetVersion && version != oldVersion {
		return p, errVersion
	}
	p.kind = kind(data[5])
	if p.kind < announce || p.kind > alarm {
		return p, errMalformed
	}
	signed := data[:len(data)-macSize]
	cluster, rest, ok := cutField(signed[head:])
	if !ok {
		return p, errMalformed
	}
	sender, rest, ok := cutField(rest)
	if string(cluster) != c.cluster {
		p.sender = claimed(sender)
		return p, foreignError{cluster: string(cluster)}
	}
	if version == oldVersion { // its header is the same
		p.sender = claimed(sender)
		return p, errOld
	}
	if !ok || len(rest) < 8 {
		return p, errMalformed
	}
	if !c.authentic(signed, data[len(signed):]) {
		p.sender = claimed(sender)
		p.keyless = c.without != nil && hmac.Equal(mac(c.without, signed), data[len(signed):])
		return p, errMAC
	}
	var err error
	if p.sender, err = registry.ParseOwner(string(sender)); err != nil || checkOwner(p.sender) != nil {
		return p, errMalformed
	}
	if p.seq = binary.BigEndian.Uint64(rest); p.seq >= seqMost {
		return p, errSequence
	}
	p.body = p.kind.body()
	if err := decode(p.body, rest[8:]); err != nil {
		return p, errMalformed
	}
	return p, nil
}

// cutField cuts off b a field with its length in the first byte.
func cutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	return b[1 : 1+int(b[0])], b[1+int(b[0]):], true
}

func (k kind) body() thrift.TStruct {
	switch k {
	case announce:
		return wire.NewAnnounce()
	case query:
		return wire.NewQuery()
	case answer:
		return wire.NewAnswer()
	case goodbye:
		return wire.NewGoodbye()
	case probe:
		return wire.NewProbe()
	}
	return wire.NewAlarm()
}

// thriftConf bounds what a length in a body may claim.
var thriftConf = &thrift.TConfiguration{MaxMessageSize: MaxPacket, MaxFrameSize: MaxPacket}

func encode(s thrift.TStruct) ([]byte, error) {
	buf := thrift.NewTMemoryBuffer()
	err := s.Write(context.Background(), thrift.NewTCompactProtocolConf(buf, thriftConf))
	return buf.Bytes(), err
}

func decode(s thrift.TStruct, data []byte) error {
	buf := thrift.NewTMemoryBuffer()
	buf.Write(data)
	if err := s.Read(context.Background(), thrift.NewTCompactProtocolConf(buf, thriftConf)); err != nil {
		return err
	}
	return checkBody(s)
}

// size is the number of bytes that a value takes within a body.
func size(s thrift.TStruct) int {
	b, err := encode(s)
	if err != nil {
		return MaxPacket
	}
	return len(b)
}
