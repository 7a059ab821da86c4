package broadcast

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// MaxPacket is the size of the largest datagram sent or read, in bytes.
const MaxPacket = 1200

const (
	magic         = "skry"
	packetVersion = 1
	macSize       = sha256.Size
)

// kind is what a packet says.
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
//	"skry" | version 1 | kind 1 | n 1 | cluster n | m 1 | sender m | sequence 8 | body | HMAC-SHA256 32
//
// The sender is registry.Owner.String, the sequence big-endian, the body a
// struct of idl/skerry.thrift in the compact protocol, and the MAC is taken
// over everything before it.
type packet struct {
	kind   kind
	sender registry.Owner
	seq    uint64
	body   thrift.TStruct
}

// Why a datagram is refused. The cheap checks come first.
var (
	errMalformed = errors.New("malformed")
	errVersion   = errors.New("other packet version")
	errForeign   = errors.New("other cluster")
	errMAC       = errors.New("wrong key")
)

// foreignError carries the name that a packet of another cluster bears.
type foreignError struct{ cluster string }

func (e foreignError) Error() string        { return fmt.Sprintf("cluster %q", e.cluster) }
func (e foreignError) Is(target error) bool { return target == errForeign }

// codec seals and opens the packets of one cluster. It is safe for
// concurrent use.
type codec struct {
	cluster string
	key     []byte
}

// newCodec derives the MAC key from the site's key. Without one it is derived
// from the cluster's name, which keeps systems apart and nobody out.
func newCodec(cluster string, key []byte) codec {
	label := "skerry lan 1\x00"
	if len(key) == 0 {
		label = "skerry lan 1, no key\x00"
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(label + cluster))
	return codec{cluster: cluster, key: mac.Sum(nil)}
}

func (c codec) mac(data []byte) []byte {
	h := hmac.New(sha256.New, c.key)
	h.Write(data)
	return h.Sum(nil)
}

// room is how many bytes a body from the sender may have.
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
	out = append(out, c.mac(out)...)
	if len(out) > MaxPacket {
		return nil, fmt.Errorf("seal packet: %d bytes, at most %d may be sent", len(out), MaxPacket)
	}
	return out, nil
}

// open checks and decodes a datagram. It keeps no reference to data.
func (c codec) open(data []byte) (packet, error) {
	var p packet
	head := len(magic) + 2
	if len(data) < head+1+1+8+macSize || len(data) > MaxPacket || string(data[:len(magic)]) != magic {
		return p, errMalformed
	}
	if data[4] != packetVersion {
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
	if string(cluster) != c.cluster {
		return p, foreignError{cluster: string(cluster)}
	}
	sender, rest, ok := cutField(rest)
	if !ok || len(rest) < 8 {
		return p, errMalformed
	}
	if !hmac.Equal(c.mac(signed), data[len(signed):]) {
		return p, errMAC
	}
	var err error
	if p.sender, err = registry.ParseOwner(string(sender)); err != nil {
		return p, errMalformed
	}
	p.seq = binary.BigEndian.Uint64(rest)
	p.body = p.kind.body()
	if err := decode(p.body, rest[8:]); err != nil {
		return p, errMalformed
	}
	return p, nil
}

// cutField cuts a field with its length in the first byte off b.
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
	switch s := s.(type) { // Thrift leaves a missing struct nil
	case *wire.Announce:
		if s.Listing == nil {
			return errMalformed
		}
	case *wire.Answer:
		if s.Listing == nil {
			return errMalformed
		}
	case *wire.Alarm:
		if s.Owner == nil {
			return errMalformed
		}
	}
	return nil
}

// size is the number of bytes that a value takes within a body.
func size(s thrift.TStruct) int {
	b, err := encode(s)
	if err != nil {
		return MaxPacket
	}
	return len(b)
}
