package rpc

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// decodedFrames is how many times the largest frame the elements of one
// message may take in memory.
const decodedFrames = 8

// account grants the memory for decoding one message. The decoding goroutine owns it.
type account struct {
	*decodeLimits
	taken  int64
	denied Code // why memory was refused; Unknown = it was not
}

// decodeLimits are shared by the accounts of a server or client.
type decodeLimits struct {
	all   *transport.ByteBudget // shared by all messages; nil: only limit counts
	limit int64                 // bytes for one message
}

func newDecodeLimits(all *transport.ByteBudget, frame int) decodeLimits {
	return decodeLimits{all: all, limit: int64(min(frame, math.MaxInt/decodedFrames)) * decodedFrames}
}

// Take implements flat.Account.
func (a *account) Take(n int64) error {
	switch {
	case a.taken+n > a.limit:
		a.denied = TooLarge
		return fmt.Errorf(
			"the message takes over %d bytes of memory when decoded, %d times the largest frame; send less at a time",
			a.limit,
			decodedFrames,
		)
	case !a.all.Take(n, 1):
		a.denied = Overloaded
		return fmt.Errorf("large messages hold %d bytes here, the limit; try again later", a.all.Limit)
	}
	a.taken += n
	return nil
}

// inflated takes memory for an inflated payload, or gives it back.
func (a *account) inflated(n int) error {
	if !a.all.Take(int64(n), 2) {
		return transport.ErrBudget
	}
	a.taken += int64(n)
	return nil
}

// close gives all taken memory back.
func (a *account) close() {
	if a.taken != 0 {
		a.all.Add(-a.taken)
		a.taken = 0
	}
}

// sized is a result outside generated code that knows the memory of its values (flat.Costs).
type sized interface {
	DecodedSizes() (element, structure, entry, field int)
}

// memoryOfReply is memoryOfResult with a fast path for the type of the previous reply, because most
// services have few methods that are called often.
func (s *serviceClient) memoryOfReply(a *account, result thrift.TStruct) flat.Memory {
	if last := s.shape.Load(); last.Of(reflect.TypeOf(result)) {
		return flat.Memory{Account: a, Shape: last, Copy: s.framework}
	}
	m := memoryOfResult(a, s.name, result)
	if m.Shape != nil {
		s.shape.Store(m.Shape)
	}
	return m
}

// memoryOfResult returns the memory rules for decoding a reply into result.
func memoryOfResult(a *account, service string, result thrift.TStruct) flat.Memory {
	m := flat.Memory{Account: a, Copy: strings.HasPrefix(service, internalPrefix)}
	if s, ok := result.(sized); ok {
		element, structure, entry, field := s.DecodedSizes()
		m.Costs = flat.Costs{
			Element: int64(element),
			Struct:  int64(structure),
			Entry:   int64(entry),
			Field:   int64(field),
		}
		return m
	}
	m.Shape = flat.ShapeOf(reflect.TypeOf(result))
	return m
}

// argumentsOf returns the shape of a method's arguments, nil when it is unknown. It finds their
// types in the interface of the handler, which the function of a generated processor holds.
func argumentsOf(f thrift.TProcessorFunction, name string) *flat.Shape {
	t := reflect.TypeOf(f)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct || t.Elem().NumField() == 0 {
		return nil
	}
	handler := t.Elem().Field(0).Type
	if handler.Kind() != reflect.Interface {
		return nil
	}
	for i := range handler.NumMethod() {
		m := handler.Method(i)
		if m.Type.NumIn() == 0 || plainName(m.Name) != plainName(name) {
			continue
		}
		var types []reflect.Type
		for n := 1; n < m.Type.NumIn(); n++ { // after the context
			types = append(types, m.Type.In(n))
		}
		return flat.ShapeOfArguments(types)
	}
	return nil
}

// plainName returns a form that is equal for a method's name in the IDL and its name in Go.
func plainName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}
