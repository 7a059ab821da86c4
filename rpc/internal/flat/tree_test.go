package flat

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/apache/thrift/lib/go/thrift"
)

var ctx = context.Background()

// stock returns a protocol of the stock library over memory.
func stock(p Protocol, b []byte) (thrift.TProtocol, *bytes.Buffer) {
	m := &thrift.TMemoryBuffer{Buffer: bytes.NewBuffer(b)}
	strict := true
	conf := &thrift.TConfiguration{TBinaryStrictRead: &strict, TBinaryStrictWrite: &strict}
	if p == Compact {
		return thrift.NewTCompactProtocolConf(m, conf), m.Buffer
	}
	return thrift.NewTBinaryProtocolConf(m, conf), m.Buffer
}

var types = []thrift.TType{thrift.BOOL, thrift.BYTE, thrift.I16, thrift.I32, thrift.I64, thrift.DOUBLE,
	thrift.STRING, thrift.UUID, thrift.STRUCT, thrift.MAP, thrift.SET, thrift.LIST}

// writer writes random messages; the same seed gives the same calls.
type writer struct {
	p   thrift.TProtocol
	rng *rand.Rand
	err error
}

func (w *writer) do(err error) {
	if w.err == nil {
		w.err = err
	}
}

func writeMessage(p thrift.TProtocol, seed uint64) error {
	w := &writer{p: p, rng: rand.New(rand.NewPCG(seed, 1))}
	w.do(p.WriteMessageBegin(ctx, w.text(), thrift.TMessageType(1+w.rng.IntN(4)), int32(w.rng.Uint32())))
	w.value(thrift.STRUCT, 4)
	w.do(p.WriteMessageEnd(ctx))
	w.do(p.Flush(ctx))
	return w.err
}

func (w *writer) text() string {
	b := make([]byte, w.rng.IntN(40))
	for i := range b {
		b[i] = byte(w.rng.IntN(256))
	}
	return string(b)
}

// number is of any magnitude, so that varints have any length.
func (w *writer) number() int64 { return int64(w.rng.Uint64()) >> w.rng.IntN(64) }

func (w *writer) pick(depth int) thrift.TType {
	if depth <= 1 {
		return types[w.rng.IntN(8)]
	}
	return types[w.rng.IntN(len(types))]
}

func (w *writer) value(t thrift.TType, depth int) {
	switch t {
	case thrift.BOOL:
		w.do(w.p.WriteBool(ctx, w.rng.IntN(2) == 1))
	case thrift.BYTE:
		w.do(w.p.WriteByte(ctx, int8(w.number())))
	case thrift.I16:
		w.do(w.p.WriteI16(ctx, int16(w.number())))
	case thrift.I32:
		w.do(w.p.WriteI32(ctx, int32(w.number())))
	case thrift.I64:
		w.do(w.p.WriteI64(ctx, w.number()))
	case thrift.DOUBLE:
		w.do(w.p.WriteDouble(ctx, w.rng.NormFloat64()))
	case thrift.STRING:
		if w.rng.IntN(2) == 0 {
			w.do(w.p.WriteString(ctx, w.text()))
		} else {
			w.do(w.p.WriteBinary(ctx, []byte(w.text())))
		}
	case thrift.UUID:
		var id thrift.Tuuid
		copy(id[:], w.text())
		w.do(w.p.WriteUUID(ctx, id))
	case thrift.STRUCT:
		w.structure(depth)
	default:
		w.container(t, depth)
	}
}

func (w *writer) structure(depth int) {
	w.do(w.p.WriteStructBegin(ctx, "s"))
	id := int16(w.rng.IntN(5) - 2)
	for range w.rng.IntN(8) {
		t := w.pick(depth)
		id += int16(1 + w.rng.IntN(3)*w.rng.IntN(12))
		w.do(w.p.WriteFieldBegin(ctx, "f", t, id))
		w.value(t, depth-1)
		w.do(w.p.WriteFieldEnd(ctx))
	}
	w.do(w.p.WriteFieldStop(ctx))
	w.do(w.p.WriteStructEnd(ctx))
}

func (w *writer) container(t thrift.TType, depth int) {
	k, v, n := w.pick(depth), w.pick(depth), w.rng.IntN(20)
	switch t {
	case thrift.MAP:
		w.do(w.p.WriteMapBegin(ctx, k, v, n))
		for range n {
			w.value(k, depth-1)
			w.value(v, depth-1)
		}
		w.do(w.p.WriteMapEnd(ctx))
	case thrift.SET:
		w.do(w.p.WriteSetBegin(ctx, v, n))
		for range n {
			w.value(v, depth-1)
		}
		w.do(w.p.WriteSetEnd(ctx))
	case thrift.LIST:
		w.do(w.p.WriteListBegin(ctx, v, n))
		for range n {
			w.value(v, depth-1)
		}
		w.do(w.p.WriteListEnd(ctx))
	}
}

// reader records everything that a protocol reads of a message.
type reader struct {
	p   thrift.TProtocol
	out bytes.Buffer
	err error
}

// readMessage returns what was read up to the end or the first error.
func readMessage(p thrift.TProtocol) (string, error) {
	r := &reader{p: p}
	name, kind, seq, err := p.ReadMessageBegin(ctx)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&r.out, "%q %d %d ", name, kind, seq)
	r.value(thrift.STRUCT, 0)
	if r.err == nil {
		r.err = p.ReadMessageEnd(ctx)
	}
	return r.out.String(), r.err
}

func note[T any](r *reader, v T, err error) {
	if r.err = err; err == nil {
		fmt.Fprintf(&r.out, "%v ", v)
	}
}

func (r *reader) value(t thrift.TType, depth int) {
	if r.err != nil {
		return
	}
	if depth > maxDepth {
		r.err = fail(thrift.DEPTH_LIMIT, "the test's reader goes no deeper")
		return
	}
	switch t {
	case thrift.BOOL:
		v, err := r.p.ReadBool(ctx)
		note(r, v, err)
	case thrift.BYTE:
		v, err := r.p.ReadByte(ctx)
		note(r, v, err)
	case thrift.I16:
		v, err := r.p.ReadI16(ctx)
		note(r, v, err)
	case thrift.I32:
		v, err := r.p.ReadI32(ctx)
		note(r, v, err)
	case thrift.I64:
		v, err := r.p.ReadI64(ctx)
		note(r, v, err)
	case thrift.DOUBLE:
		v, err := r.p.ReadDouble(ctx)
		note(r, v, err)
	case thrift.STRING:
		if r.out.Len()%2 == 0 {
			v, err := r.p.ReadString(ctx)
			note(r, fmt.Sprintf("%q", v), err)
		} else {
			v, err := r.p.ReadBinary(ctx)
			note(r, fmt.Sprintf("%q", v), err)
		}
	case thrift.UUID:
		v, err := r.p.ReadUUID(ctx)
		note(r, v, err)
	case thrift.STRUCT:
		r.structure(depth)
	case thrift.MAP, thrift.SET, thrift.LIST:
		r.container(t, depth)
	default:
		r.err = fail(thrift.INVALID_DATA, "unknown type %d", t)
	}
}

func (r *reader) structure(depth int) {
	if _, r.err = r.p.ReadStructBegin(ctx); r.err != nil {
		return
	}
	r.out.WriteString("{ ")
	for r.err == nil {
		var t thrift.TType
		var id int16
		if _, t, id, r.err = r.p.ReadFieldBegin(ctx); r.err != nil {
			return
		}
		if t == thrift.STOP {
			break
		}
		fmt.Fprintf(&r.out, "%d:%d=", id, t)
		if id%5 == 0 {
			r.err = r.p.Skip(ctx, t)
		} else {
			r.value(t, depth+1)
		}
		if r.err == nil {
			r.err = r.p.ReadFieldEnd(ctx)
		}
	}
	if r.err == nil {
		r.err = r.p.ReadStructEnd(ctx)
	}
	r.out.WriteString("} ")
}

func (r *reader) container(t thrift.TType, depth int) {
	var k, v thrift.TType
	var n int
	switch t {
	case thrift.MAP:
		k, v, n, r.err = r.p.ReadMapBegin(ctx)
	case thrift.SET:
		v, n, r.err = r.p.ReadSetBegin(ctx)
	case thrift.LIST:
		v, n, r.err = r.p.ReadListBegin(ctx)
	}
	if r.err != nil {
		return
	}
	fmt.Fprintf(&r.out, "[%d %d %d: ", k, v, n)
	for i := 0; i < n && r.err == nil; i++ {
		if t == thrift.MAP {
			r.value(k, depth+1)
		}
		r.value(v, depth+1)
	}
	r.out.WriteString("] ")
}
