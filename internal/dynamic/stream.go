package dynamic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/thriftrw/compile"
)

// The modes of a Stream, as the annotation skerry.stream spells them.
const (
	ServerStream = "server" // items go to the caller
	ClientStream = "client" // items go to the provider
	BidiStream   = "bidi"   // both
)

// The annotations of a stream's method. The last one is that of Kitex.
const (
	markStream = "skerry.stream"
	markItem   = "skerry.item"
	markResume = "skerry.resume"
	markMode   = "streaming.mode"
)

// Stream is a method of which items go to the caller, to the provider, or both ways.
type Stream struct {
	Mode string

	method *Method
	item   *compile.FieldSpec   // argument that carries the caller's items; nil for a server stream
	to     []*compile.FieldSpec // path of the cursor in the arguments; none: the stream can't be resumed
	from   []*compile.FieldSpec // path of the cursor in an item; none: it is the item itself
}

// Stream returns how items of the method go by its annotations; nil when it is an ordinary method.
func (m *Method) Stream() (*Stream, error) {
	mode := m.annotations[markStream]
	if mode == "" {
		mode = m.annotations[markMode]
	}
	switch mode {
	case "", "unary":
		return nil, nil
	case "bidirectional":
		mode = BidiStream
	case ServerStream, ClientStream, BidiStream:
	default:
		return nil, fmt.Errorf("method %s is a stream of mode %q; known are %s, %s and %s", m.Name, mode,
			ServerStream, ClientStream, BidiStream)
	}
	s := &Stream{Mode: mode, method: m}
	if m.OneWay {
		return nil, fmt.Errorf("method %s is oneway and a stream, which cannot be", m.Name)
	}
	if s.Down() && m.returns == nil {
		return nil, fmt.Errorf("method %s returns nothing, so that it has no items", m.Name)
	}
	if s.Up() {
		if err := s.findItem(); err != nil {
			return nil, err
		}
	}
	if resume := m.annotations[markResume]; resume != "" && mode == ServerStream {
		if err := s.findCursor(resume); err != nil {
			return nil, fmt.Errorf("method %s: %s = %q: %w", m.Name, markResume, resume, err)
		}
	}
	return s, nil
}

// Up reports whether the caller sends items.
func (s *Stream) Up() bool { return s.Mode != ServerStream }

// Down reports whether the provider sends items.
func (s *Stream) Down() bool { return s.Mode != ClientStream }

// findItem finds the argument that carries the caller's items.
func (s *Stream) findItem() error {
	name := s.method.annotations[markItem]
	if name == "" && len(s.method.args) == 1 {
		s.item = s.method.args[0]
		return nil
	}
	i := slices.IndexFunc(s.method.args, func(f *compile.FieldSpec) bool { return f.Name == name })
	if i < 0 {
		return fmt.Errorf("method %s: %s = %q names no argument; the items of a %s stream are one",
			s.method.Name, markItem, name, s.Mode)
	}
	s.item = s.method.args[i]
	return nil
}

// findCursor reads skerry.resume = "argument.field = field".
func (s *Stream) findCursor(text string) (err error) {
	left, right, both := strings.Cut(text, "=")
	if s.to, err = steps(s.method.args, strings.TrimSpace(left)); err != nil {
		return err
	}
	last := s.to[len(s.to)-1]
	have := s.method.returns
	item, isStruct := compile.RootTypeSpec(have).(*compile.StructSpec)
	switch {
	case isStruct && !both:
		right = last.Name
	case !isStruct && both:
		return fmt.Errorf("items of the type %s have no fields", have.ThriftName())
	}
	if isStruct {
		if s.from, err = steps(item.Fields, strings.TrimSpace(right)); err != nil {
			return err
		}
		have = s.from[len(s.from)-1].Type
	}
	a, b := compile.RootTypeSpec(have), compile.RootTypeSpec(last.Type)
	if a.ThriftName() != b.ThriftName() || a.ThriftFile() != b.ThriftFile() || isUUID(have) != isUUID(last.Type) {
		return fmt.Errorf("the argument's side is of the type %s, the item's of the type %s", last.Type.ThriftName(),
			have.ThriftName())
	}
	return nil
}

// steps follows a path of fields.
func steps(fields compile.FieldGroup, path string) (found []*compile.FieldSpec, err error) {
	for name := range strings.SplitSeq(path, ".") {
		f, err := fields.FindByName(name)
		if err != nil || f == nil {
			return nil, fmt.Errorf("there is no field %q", name)
		}
		found = append(found, f)
		fields = nil
		if inner, ok := compile.RootTypeSpec(f.Type).(*compile.StructSpec); ok {
			fields = inner.Fields
		}
	}
	return found, nil
}

// opening is the method with the arguments that go with the opening.
func (s *Stream) opening() *Method {
	m := *s.method
	m.args = slices.DeleteFunc(slices.Clone(m.args), func(f *compile.FieldSpec) bool { return f == s.item })
	return &m
}

// Opening reads the arguments that go with the opening, as Method.Args does. They are all but that of the items.
func (s *Stream) Opening(data []byte) (*Struct, error) { return s.opening().Args(data) }

// Template is Method.Template of the arguments that go with the opening.
func (s *Stream) Template() json.RawMessage { return s.opening().Template() }

// ItemTemplate is an item of the caller to fill in.
func (s *Stream) ItemTemplate() json.RawMessage { return appendExample(nil, s.item.Type, nil) }

// Item reads the JSON value of an item of the caller, as the arguments that carry it.
func (s *Stream) Item(data []byte) (*Struct, error) {
	root, err := parseJSON(bytes.TrimPrefix(data, []byte("\ufeff")))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	e := &encoder{}
	v := e.convert("$", root, s.item.Type)
	if len(e.problems) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrValue, strings.Join(e.problems, "; "))
	}
	return &Struct{
		Name: s.method.Name, fields: compile.FieldGroup{s.item}, values: map[int16]value{s.item.ID: v},
	}, nil
}

// Resumable reports whether a stream can be opened behind an item of an earlier one.
func (s *Stream) Resumable() bool { return len(s.to) > 0 }

// Cursor is the place of an item as JSON, in ASCII; "" when it has none.
func (s *Stream) Cursor(item *Result) string {
	v, ok := item.values[0]
	spec := s.method.returns
	for _, f := range s.from {
		inner, isStruct := v.(*Struct)
		if !isStruct {
			return ""
		}
		v, ok = inner.values[f.ID]
		spec = f.Type
	}
	if !ok || v == nil || !s.Resumable() {
		return ""
	}
	return ascii(appendJSON(nil, v, spec))
}

// ascii writes the other characters of a JSON text as escapes.
func ascii(text []byte) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r < utf8.RuneSelf && r != 0x7f:
			b.WriteByte(byte(r))
		case r < 1<<16:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			r -= 1 << 16
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		text = text[n:]
	}
	return b.String()
}

// Resume sets the cursor in the arguments of an opening.
func (s *Stream) Resume(args *Struct, cursor string) error {
	if !s.Resumable() {
		return fmt.Errorf("%s can't be resumed: it has no annotation %s", s.method.Name, markResume)
	}
	root, err := parseJSON([]byte(cursor))
	if err != nil {
		return fmt.Errorf("the cursor %s %w: %w", strconv.Quote(cursor), ErrValue, err)
	}
	last := s.to[len(s.to)-1]
	e := &encoder{}
	v := e.convert("$", root, last.Type)
	if len(e.problems) > 0 {
		return fmt.Errorf("the cursor %s %w: %s", strconv.Quote(cursor), ErrValue, strings.Join(e.problems, "; "))
	}
	at := args
	for _, f := range s.to[:len(s.to)-1] {
		inner, ok := at.values[f.ID].(*Struct)
		if !ok {
			inner = newStruct(compile.RootTypeSpec(f.Type).(*compile.StructSpec))
			at.values[f.ID] = inner
		}
		at = inner
	}
	if at.union {
		clear(at.values)
	}
	at.values[last.ID] = v
	return nil
}

// Receiver returns what receives the items and the end of one stream of the method.
func (m *Method) Receiver() Receiver { return Receiver{&received{method: m}} }

// Receiver is a thrift.TStruct whose success is each item in turn. It is a value, not a pointer, so that it is not
// emptied between the items: Read makes a new Result for each.
type Receiver struct{ *received }

type received struct {
	method *Method
	last   *Result
}

// Read receives an item, or the reply that ends the stream.
func (r Receiver) Read(ctx context.Context, p thrift.TProtocol) error {
	r.last = r.method.Result()
	return r.last.Read(ctx, p)
}

// Write writes what was received.
func (r Receiver) Write(ctx context.Context, p thrift.TProtocol) error {
	return r.GetSuccess().Write(ctx, p)
}

// GetSuccess returns what was received last.
func (r Receiver) GetSuccess() *Result {
	if r.last == nil {
		return r.method.Result()
	}
	return r.last
}

// Thrown returns the declared exception that was received last, nil when it was none.
func (r Receiver) Thrown() error {
	name, fields, ok := r.GetSuccess().Exception()
	if !ok {
		return nil
	}
	return &Exception{name, fields}
}

// DecodedSizes is Struct.DecodedSizes.
func (r Receiver) DecodedSizes() (element, structure, entry, field int) {
	return (*Struct)(nil).DecodedSizes()
}

// Exception is an exception that the method declares.
type Exception struct {
	Name   string
	Fields json.RawMessage
}

// Error says which one it is, with its fields.
func (e *Exception) Error() string { return e.Name + " " + string(e.Fields) }
