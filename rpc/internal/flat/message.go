package flat

import (
	"context"
	"io"

	"github.com/apache/thrift/lib/go/thrift"
)

// message is shared by both readers, which walk it.
type message struct {
	thrift.TProtocol // methods that this package does not implement

	s         string
	at        int // next byte
	depth     int // of open structs
	announced int // fewest bytes that the elements of all containers so far can have
	memory
}

// Begin reads the beginning of a message without taking a reader for it.
func Begin(p Protocol, s string) (name string, kind thrift.TMessageType, seq int32, err error) {
	if p == Binary {
		r := binaryReader{message: message{s: s}}
		return r.ReadMessageBegin(context.Background())
	}
	r := NewReader(p, s, Memory{})
	defer r.Free()
	return r.ReadMessageBegin(context.Background())
}

// Left is the number of bytes that were not read.
func (m *message) Left() int { return len(m.s) - m.at }

// The ends of containers have no bytes in either protocol.

func (m *message) ReadListEnd(context.Context) error { m.containerEnd(); return nil }
func (m *message) ReadSetEnd(context.Context) error  { m.containerEnd(); return nil }
func (m *message) ReadMapEnd(context.Context) error  { m.containerEnd(); return nil }

// ReadFieldEnd has no bytes in either protocol.
func (m *message) ReadFieldEnd(context.Context) error { return nil }

// take returns the next n bytes.
func (m *message) take(n int, what string) (string, error) {
	at := m.at
	if n > len(m.s)-at {
		return "", m.endsWithin(what)
	}
	m.at = at + n
	return m.s[at : at+n], nil
}

//go:noinline
func (m *message) endsWithin(what string) error {
	return fail(thrift.INVALID_DATA, "message ends at byte %d within a %s that begins at byte %d: %w",
		len(m.s), what, m.at, io.ErrUnexpectedEOF)
}

func (m *message) byte(what string) (byte, error) {
	at := m.at
	if at >= len(m.s) {
		return 0, m.endsWithin(what)
	}
	m.at = at + 1
	return m.s[at], nil
}

// bytes returns the next size bytes of a string or binary.
func (m *message) bytes(size int32) (string, error) {
	b, err := m.cut(size)
	if err == nil && m.Copy {
		return m.clone(b)
	}
	return b, err
}

// cut returns the next size bytes as a substring of the message.
func (m *message) cut(size int32) (string, error) {
	if size < 0 {
		return "", fail(thrift.NEGATIVE_SIZE, "negative size %d of the string before byte %d", size, m.at)
	}
	if int(size) > m.Left() {
		return "", fail(
			thrift.SIZE_LIMIT,
			"string of %d bytes at byte %d, where the message has %d bytes left",
			size,
			m.at,
			m.Left(),
		)
	}
	b := m.s[m.at : m.at+int(size)]
	m.at += int(size)
	return b, nil
}

// binary returns the next size bytes as a slice.
func (m *message) binary(size int32) ([]byte, error) {
	s, err := m.bytes(size)
	if err == nil {
		err = m.charge(classed(int64(len(s))))
	}
	if err != nil {
		return nil, err
	}
	return []byte(s), nil
}

// reset prepares the message for the pool. It sets each field, which costs less during a garbage
// collection than replacing the whole struct.
func (m *message) reset() {
	m.s, m.at, m.depth, m.announced = "", 0, 0, 0
	m.memory.reset()
}

// container checks the announced size of a list, set or map with elements of at least each bytes. No
// two containers share these bytes, so all of them together can't need more than the message has.
func (m *message) container(size int32, each int) (int, error) {
	if size < 0 {
		return 0, fail(thrift.NEGATIVE_SIZE, "negative size %d of the container before byte %d", size, m.at)
	}
	need := int64(size) * int64(each)
	if need > int64(m.Left()) {
		return 0, fail(thrift.SIZE_LIMIT, "container of %d elements at byte %d needs %d bytes or more, %d are left",
			size, m.at, need, m.Left())
	}
	if need > int64(len(m.s)-m.announced) {
		return 0, fail(
			thrift.SIZE_LIMIT,
			"the containers up to byte %d announce more elements than the message has bytes for",
			m.at,
		)
	}
	m.announced += int(need)
	return int(size), nil
}

func (m *message) enter() error {
	if m.depth++; m.depth > maxDepth {
		return m.structsTooDeep()
	}
	return m.structure()
}

//go:noinline
func (m *message) structsTooDeep() error {
	return fail(thrift.DEPTH_LIMIT, "structs nest over %d deep at byte %d", maxDepth, m.at)
}

func (m *message) leave() error {
	if m.depth--; m.depth < 0 {
		return fail(thrift.INVALID_DATA, "ReadStructEnd without ReadStructBegin, at byte %d", m.at)
	}
	m.structureEnd()
	return nil
}

// ReadUUID reads 16 bytes in both protocols.
func (m *message) ReadUUID(context.Context) (v thrift.Tuuid, err error) {
	b, err := m.take(len(v), "uuid")
	copy(v[:], b)
	return v, err
}
