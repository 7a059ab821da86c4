package flat

import (
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Costs are the sizes in memory, in bytes, of values without a known Shape.
type Costs struct {
	Element int64 // of a list or set, without the memory that it points to
	Struct  int64
	Entry   int64 // key and value of a map
	Field   int64 // of a struct, on top of the struct
}

// DefaultCosts are those of generated code: the largest element is a byte
// slice, and a struct has about four fields.
var DefaultCosts = Costs{Element: 24, Struct: 64, Entry: 16 + 24}

// Shape holds the memory sizes of one struct type of generated code. The types in the message do not
// matter: generated code takes memory for the types of its own IDL.
type Shape struct {
	of     reflect.Type // its type; nil for arguments, and for nested shapes
	size   int64        // of the struct and of the scalars that its fields point to
	fields []*place     // by field id; nil = the field holds no further memory
}

// maxShapeField bounds the field ids that a Shape knows. Fields above it cost DefaultCosts.
const maxShapeField = 1024

type placeKind uint8

const (
	structPlace placeKind = iota
	listPlace
	mapPlace
)

// place describes a value with memory of its own, in a field or a container.
type place struct {
	kind  placeKind
	size  int64  // of an element of a list, or an entry of a map
	shape *Shape // of a struct
	inner *place // of the elements, or of a map's values; nil = they hold no memory of their own
	key   *place // the same for a map's keys
}

var shapes sync.Map // reflect.Type → *Shape

// ShapeOf returns the shape of a struct type of generated code, given as the struct or a pointer to
// it; nil for any other type.
func ShapeOf(t reflect.Type) *Shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*Shape)
	}
	s := shaper{}.of(t)
	if s != nil {
		s.of = t
	}
	shapes.Store(t, s)
	return s
}

// Of reports whether ShapeOf made the shape for this type. A nil Shape returns false.
func (s *Shape) Of(t reflect.Type) bool { return s != nil && s.of == t }

// ShapeOfArguments returns the shape of a struct with fields 1, 2, … of these types: the arguments
// of a method, which generated code does not export.
func ShapeOfArguments(types []reflect.Type) *Shape {
	b := shaper{}
	s := &Shape{size: int64(len(types)) * DefaultCosts.Element}
	for i, t := range types {
		s.set(i+1, b.place(t))
	}
	return s
}

// shaper builds the shapes of types, which may refer to each other.
type shaper map[reflect.Type]*Shape

func (b shaper) of(t reflect.Type) *Shape {
	if t == nil {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	if s := b[t]; s != nil {
		return s
	}
	s := &Shape{size: classed(int64(t.Size()))}
	b[t] = s
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() != reflect.Struct {
			s.size += classed(int64(f.Type.Elem().Size())) // an optional scalar
		}
		if id, ok := fieldID(f.Tag.Get("thrift")); ok {
			s.set(id, b.place(f.Type))
		}
	}
	return s
}

// fieldID reads the tag of generated code: `thrift:"name,id,required"`.
func fieldID(tag string) (int, bool) {
	_, rest, ok := strings.Cut(tag, ",")
	if !ok {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, ",")
	id, err := strconv.Atoi(number)
	return id, err == nil
}

func (s *Shape) set(id int, p *place) {
	if p == nil || id < 0 || id > maxShapeField {
		return
	}
	for len(s.fields) <= id {
		s.fields = append(s.fields, nil)
	}
	s.fields[id] = p
}

func (b shaper) place(t reflect.Type) *place {
	p := &place{}
	switch t.Kind() {
	case reflect.Pointer:
		if t.Elem().Kind() != reflect.Struct {
			return nil
		}
		p.kind, p.shape = structPlace, b.of(t)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return nil // a binary
		}
		p.kind, p.size = listPlace, int64(t.Elem().Size())
		p.inner = b.place(t.Elem())
	case reflect.Map:
		p.kind, p.size = mapPlace, int64(t.Key().Size()+t.Elem().Size())
		p.key, p.inner = b.place(t.Key()), b.place(t.Elem())
	default:
		return nil
	}
	return p
}

// first returns the place of the first value of a container.
func (p *place) first() *place {
	if p.key != nil {
		return p.key
	}
	return p.inner
}

// after returns the place of the value that follows one at last in a container. Keys and values of a
// map alternate when both hold memory.
func (p *place) after(last *place) *place {
	switch {
	case p == nil || p.key == nil || p.inner == nil:
		return last
	case last == p.key:
		return p.inner
	}
	return p.key
}

// field returns the place of a field, or nil when it is unknown.
func (s *Shape) field(id int16) *place {
	if s != nil && uint(id) < uint(len(s.fields)) { // a negative id is larger
		return s.fields[id]
	}
	return nil
}

// classed returns at least as many bytes as the runtime allocates for an object of n bytes.
func classed(n int64) int64 {
	if n <= 0 {
		return 0
	}
	n = (n + 7) &^ 7
	if n <= 64 {
		return n + n/4
	}
	return n + n/8
}

// mapSize is the memory of a map that is made for n entries.
func mapSize(n int, entry int64) int64 {
	const header, group = 48, 8 // a group has this many slots, and a byte for each
	if n == 0 {
		return header
	}
	slots := int64(group)
	if n > group {
		for slots*7/8 < int64(n) {
			slots *= 2
		}
	}
	return header + classed(slots*(entry+1))
}
