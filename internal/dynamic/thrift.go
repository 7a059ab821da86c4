package dynamic

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/thriftrw/compile"
)

// wireType is the type byte of a type.
func wireType(spec compile.TypeSpec) thrift.TType {
	if isUUID(spec) {
		return thrift.UUID
	}
	return thrift.TType(spec.TypeCode())
}

// Write sends the struct.
func (s *Struct) Write(ctx context.Context, p thrift.TProtocol) error {
	if err := p.WriteStructBegin(ctx, s.Name); err != nil {
		return err
	}
	for _, f := range s.fields {
		v, ok := s.values[f.ID]
		if !ok {
			continue
		}
		if err := p.WriteFieldBegin(ctx, f.Name, wireType(f.Type), f.ID); err != nil {
			return err
		}
		if err := write(ctx, p, v, f.Type); err != nil {
			return fmt.Errorf("write %s.%s: %w", s.Name, f.Name, err)
		}
		if err := p.WriteFieldEnd(ctx); err != nil {
			return err
		}
	}
	if err := p.WriteFieldStop(ctx); err != nil {
		return err
	}
	return p.WriteStructEnd(ctx)
}

func write(ctx context.Context, p thrift.TProtocol, v value, spec compile.TypeSpec) error {
	if isUUID(spec) {
		id, ok := v.(thrift.Tuuid)
		if !ok {
			return fmt.Errorf("a default of the .thrift file is no uuid: %q", v)
		}
		return p.WriteUUID(ctx, id)
	}
	switch t := compile.RootTypeSpec(spec).(type) {
	case *compile.BoolSpec:
		return p.WriteBool(ctx, v.(bool))
	case *compile.I8Spec:
		return p.WriteByte(ctx, int8(v.(int64)))
	case *compile.I16Spec:
		return p.WriteI16(ctx, int16(v.(int64)))
	case *compile.I32Spec, *compile.EnumSpec:
		return p.WriteI32(ctx, int32(v.(int64)))
	case *compile.I64Spec:
		return p.WriteI64(ctx, v.(int64))
	case *compile.DoubleSpec:
		return p.WriteDouble(ctx, v.(float64))
	case *compile.StringSpec:
		return p.WriteString(ctx, v.(string))
	case *compile.BinarySpec:
		return p.WriteBinary(ctx, v.([]byte))
	case *compile.ListSpec:
		if err := p.WriteListBegin(ctx, wireType(t.ValueSpec), len(v.([]value))); err != nil {
			return err
		}
		return writeAll(ctx, p, v.([]value), t.ValueSpec, p.WriteListEnd)
	case *compile.SetSpec:
		if err := p.WriteSetBegin(ctx, wireType(t.ValueSpec), len(v.([]value))); err != nil {
			return err
		}
		return writeAll(ctx, p, v.([]value), t.ValueSpec, p.WriteSetEnd)
	case *compile.MapSpec:
		return writeMap(ctx, p, v.([]pair), t)
	}
	return v.(*Struct).Write(ctx, p)
}

func writeAll(ctx context.Context, p thrift.TProtocol, list []value, spec compile.TypeSpec,
	end func(context.Context) error) error {
	for _, v := range list {
		if err := write(ctx, p, v, spec); err != nil {
			return err
		}
	}
	return end(ctx)
}

func writeMap(ctx context.Context, p thrift.TProtocol, pairs []pair, spec *compile.MapSpec) error {
	if err := p.WriteMapBegin(ctx, wireType(spec.KeySpec), wireType(spec.ValueSpec), len(pairs)); err != nil {
		return err
	}
	for _, e := range pairs {
		if err := write(ctx, p, e.key, spec.KeySpec); err != nil {
			return err
		}
		if err := write(ctx, p, e.value, spec.ValueSpec); err != nil {
			return err
		}
	}
	return p.WriteMapEnd(ctx)
}

// Read receives the struct. It skips fields that the .thrift file does not know.
func (s *Struct) Read(ctx context.Context, p thrift.TProtocol) error { return s.read(ctx, p, 0) }

func (s *Struct) read(ctx context.Context, p thrift.TProtocol, depth int) error {
	if depth > maxDepth {
		return thrift.NewTProtocolExceptionWithType(thrift.DEPTH_LIMIT,
			fmt.Errorf("%s nests deeper than %d levels", s.Name, maxDepth))
	}
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, kind, id, err := p.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if kind == thrift.STOP {
			return p.ReadStructEnd(ctx)
		}
		f := s.field(id)
		if f == nil || wireType(f.Type) != kind {
			s.Unknown++
			err = p.Skip(ctx, kind)
		} else {
			r := reader{p, depth + 1, s}
			s.values[id], err = r.read(ctx, f.Type)
		}
		if err != nil {
			return fmt.Errorf("read field %d of %s: %w", id, s.Name, err)
		}
		if err := p.ReadFieldEnd(ctx); err != nil {
			return err
		}
	}
}

// reader reads one value at a depth. of is the struct that counts skipped fields and texts that are
// not UTF-8.
type reader struct {
	p     thrift.TProtocol
	depth int
	of    *Struct
}

func (r reader) read(ctx context.Context, spec compile.TypeSpec) (value, error) {
	if isUUID(spec) {
		return r.p.ReadUUID(ctx)
	}
	switch t := compile.RootTypeSpec(spec).(type) {
	case *compile.BoolSpec:
		return r.p.ReadBool(ctx)
	case *compile.I8Spec:
		i, err := r.p.ReadByte(ctx)
		return int64(i), err
	case *compile.I16Spec:
		i, err := r.p.ReadI16(ctx)
		return int64(i), err
	case *compile.I32Spec, *compile.EnumSpec:
		i, err := r.p.ReadI32(ctx)
		return int64(i), err
	case *compile.I64Spec:
		return r.p.ReadI64(ctx)
	case *compile.DoubleSpec:
		return r.p.ReadDouble(ctx)
	case *compile.StringSpec:
		text, err := r.p.ReadString(ctx)
		if !utf8.ValidString(text) {
			r.of.NotUTF8++
		}
		return text, err
	case *compile.BinarySpec:
		return r.p.ReadBinary(ctx)
	case *compile.StructSpec:
		s := newStruct(t)
		err := s.read(ctx, r.p, r.depth)
		r.of.Unknown += s.Unknown
		r.of.NotUTF8 += s.NotUTF8
		return s, err
	case *compile.ListSpec:
		kind, size, err := r.p.ReadListBegin(ctx)
		if err != nil {
			return nil, err
		}
		return r.readAll(ctx, kind, size, t.ValueSpec, r.p.ReadListEnd)
	case *compile.SetSpec:
		kind, size, err := r.p.ReadSetBegin(ctx)
		if err != nil {
			return nil, err
		}
		return r.readAll(ctx, kind, size, t.ValueSpec, r.p.ReadSetEnd)
	case *compile.MapSpec:
		return r.readMap(ctx, t)
	}
	return nil, fmt.Errorf("type %s is not known here", spec.ThriftName())
}

// deeper is the reader of a container's elements.
func (r reader) deeper() (reader, error) {
	r.depth++
	if r.depth > maxDepth {
		return r, thrift.NewTProtocolExceptionWithType(thrift.DEPTH_LIMIT,
			fmt.Errorf("nested deeper than %d levels", maxDepth))
	}
	return r, nil
}

func (r reader) readAll(ctx context.Context, kind thrift.TType, size int, spec compile.TypeSpec,
	end func(context.Context) error) (value, error) {
	inner, err := r.deeper()
	if err != nil {
		return nil, err
	}
	if size > 0 && kind != wireType(spec) {
		return nil, mismatch(kind, spec)
	}
	list := make([]value, 0, min(size, 1024)) // the peer's size is unverified
	for range size {
		v, err := inner.read(ctx, spec)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, end(ctx)
}

func (r reader) readMap(ctx context.Context, spec *compile.MapSpec) (value, error) {
	inner, err := r.deeper()
	if err != nil {
		return nil, err
	}
	key, val, size, err := r.p.ReadMapBegin(ctx)
	if err != nil {
		return nil, err
	}
	if size > 0 && key != wireType(spec.KeySpec) {
		return nil, mismatch(key, spec.KeySpec)
	}
	if size > 0 && val != wireType(spec.ValueSpec) {
		return nil, mismatch(val, spec.ValueSpec)
	}
	pairs := make([]pair, 0, min(size, 1024))
	for range size {
		var e pair
		if e.key, err = inner.read(ctx, spec.KeySpec); err != nil {
			return nil, err
		}
		if e.value, err = inner.read(ctx, spec.ValueSpec); err != nil {
			return nil, err
		}
		pairs = append(pairs, e)
	}
	return pairs, r.p.ReadMapEnd(ctx)
}

func mismatch(have thrift.TType, want compile.TypeSpec) error {
	return thrift.NewTProtocolExceptionWithType(thrift.INVALID_DATA,
		fmt.Errorf("the peer sends elements of type %s where the .thrift file says %s", have, want.ThriftName()))
}
