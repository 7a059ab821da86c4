package flat

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"
)

func (r *binaryReader) Protocol() Protocol  { return Binary }
func (w *binaryWriter) Protocol() Protocol  { return Binary }
func (r *compactReader) Protocol() Protocol { return Compact }
func (w *compactWriter) Protocol() Protocol { return Compact }

// Struct returns the bytes of the next struct. It walks through the struct to check that it is
// whole, and decodes nothing.
func (r *binaryReader) Struct() (string, error) {
	at := r.at
	err := r.skipStruct(maxDepth - 1)
	return r.s[at:r.at], err
}

// Struct is like the binary reader's.
func (r *compactReader) Struct() (string, error) {
	at := r.at
	err := r.skipStruct(maxDepth - 1)
	return r.s[at:r.at], err
}

// Append writes bytes that Struct has returned for the writer's protocol.
func (w *buffer) Append(whole string) error {
	if err := w.fits(len(whole)); err != nil {
		return err
	}
	w.b = append(w.b, whole...)
	return nil
}

// Copy reads the next struct of r and writes it to w value by value, by the types in the message,
// so w may have the other protocol. Structs and containers may nest 64 deep together.
func Copy(w thrift.TProtocol, r Reader) error {
	c := copier{ctx: context.Background(), r: r, w: w}
	c.structure(maxDepth)
	return c.err
}

// copier copies a struct. After the first error it does nothing more.
type copier struct {
	ctx context.Context
	r   Reader
	w   thrift.TProtocol
	err error
}

// do keeps an error. It reports whether there was none.
func (c *copier) do(err error) bool {
	if c.err == nil {
		c.err = err
	}
	return c.err == nil
}

func (c *copier) structure(depth int) {
	if depth == 0 {
		c.do(fail(thrift.DEPTH_LIMIT, "values nest over %d deep", maxDepth))
		return
	}
	_, err := c.r.ReadStructBegin(c.ctx)
	if !c.do(err) || !c.do(c.w.WriteStructBegin(c.ctx, "")) {
		return
	}
	for c.field(depth - 1) {
	}
	if c.err == nil && c.do(c.w.WriteFieldStop(c.ctx)) && c.do(c.w.WriteStructEnd(c.ctx)) {
		c.do(c.r.ReadStructEnd(c.ctx))
	}
}

// field copies one field. It reports false at the end of the struct.
func (c *copier) field(depth int) (more bool) {
	_, t, id, err := c.r.ReadFieldBegin(c.ctx)
	if !c.do(err) || t == thrift.STOP {
		return false
	}
	if !c.do(c.w.WriteFieldBegin(c.ctx, "", t, id)) {
		return false
	}
	c.value(t, depth)
	return c.err == nil && c.do(c.w.WriteFieldEnd(c.ctx)) && c.do(c.r.ReadFieldEnd(c.ctx))
}

func (c *copier) value(t thrift.TType, depth int) {
	switch t {
	case thrift.BOOL:
		move(c, c.r.ReadBool, c.w.WriteBool)
	case thrift.BYTE:
		move(c, c.r.ReadByte, c.w.WriteByte)
	case thrift.I16:
		move(c, c.r.ReadI16, c.w.WriteI16)
	case thrift.I32:
		move(c, c.r.ReadI32, c.w.WriteI32)
	case thrift.I64:
		move(c, c.r.ReadI64, c.w.WriteI64)
	case thrift.DOUBLE:
		move(c, c.r.ReadDouble, c.w.WriteDouble)
	case thrift.UUID:
		move(c, c.r.ReadUUID, c.w.WriteUUID)
	case thrift.STRING:
		move(c, c.r.ReadString, c.w.WriteString)
	case thrift.STRUCT:
		c.structure(depth)
	case thrift.LIST, thrift.SET, thrift.MAP:
		c.container(t, depth)
	default:
		c.do(fail(thrift.INVALID_DATA, "unknown type %d", t))
	}
}

// move copies a value of a basic type.
func move[T any](c *copier, read func(context.Context) (T, error), write func(context.Context, T) error) {
	v, err := read(c.ctx)
	if c.do(err) {
		c.do(write(c.ctx, v))
	}
}

func (c *copier) container(t thrift.TType, depth int) {
	if depth == 0 {
		c.do(fail(thrift.DEPTH_LIMIT, "values nest over %d deep", maxDepth))
		return
	}
	switch t {
	case thrift.MAP:
		k, v, n, err := c.r.ReadMapBegin(c.ctx)
		if c.do(err) && c.do(c.w.WriteMapBegin(c.ctx, k, v, n)) {
			c.elements(n, depth-1, k, v)
			c.do(c.w.WriteMapEnd(c.ctx))
			c.do(c.r.ReadMapEnd(c.ctx))
		}
	case thrift.SET:
		e, n, err := c.r.ReadSetBegin(c.ctx)
		if c.do(err) && c.do(c.w.WriteSetBegin(c.ctx, e, n)) {
			c.elements(n, depth-1, e)
			c.do(c.w.WriteSetEnd(c.ctx))
			c.do(c.r.ReadSetEnd(c.ctx))
		}
	default:
		e, n, err := c.r.ReadListBegin(c.ctx)
		if c.do(err) && c.do(c.w.WriteListBegin(c.ctx, e, n)) {
			c.elements(n, depth-1, e)
			c.do(c.w.WriteListEnd(c.ctx))
			c.do(c.r.ReadListEnd(c.ctx))
		}
	}
}

// elements copies n elements, each with one value of each of the types.
func (c *copier) elements(n, depth int, types ...thrift.TType) {
	for ; n > 0 && c.err == nil; n-- {
		for _, t := range types {
			if c.err == nil {
				c.value(t, depth)
			}
		}
	}
}
