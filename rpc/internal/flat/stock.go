package flat

import (
	"context"
	"errors"

	"github.com/apache/thrift/lib/go/thrift"
)

// The other methods of thrift.TProtocol come from stock protocols. They are of two kinds: a reader's
// Write methods and a writer's Read methods, which fail; and ReadByte and WriteByte, because go vet
// lets this package define them with the signatures of package io only. A stock protocol reads its
// byte from source, and writes it to sink.

var errNoBytes = thrift.NewTProtocolExceptionWithType(thrift.NOT_IMPLEMENTED,
	errors.New("flat: a reader can't write and a writer can't read"))

// idle is the transport that generated code sees. It is always open: when the connection closes, it
// cancels the call's context, so generated code need not ask.
type idle struct{}

func (idle) Open() error                     { return nil }
func (idle) IsOpen() bool                    { return true }
func (idle) Close() error                    { return nil }
func (idle) Flush(context.Context) error     { return nil }
func (idle) RemainingBytes() uint64          { return thrift.UnknownRemainingBytes }
func (idle) Read([]byte) (int, error)        { return 0, errNoBytes }
func (idle) Write([]byte) (int, error)       { return 0, errNoBytes }
func (idle) WriteString(string) (int, error) { return 0, errNoBytes }
func (idle) ReadByte() (byte, error)         { return 0, errNoBytes }
func (idle) WriteByte(byte) error            { return errNoBytes }

// source gives the stock ReadByte its byte.
type source struct {
	idle
	m *message
}

func (s source) ReadByte() (byte, error) { return s.m.byte("byte") }

// sink takes the byte of the stock WriteByte.
type sink struct {
	idle
	b *buffer
}

func (s sink) WriteByte(b byte) error { return s.b.byte(b) }

func newBinaryWriter() any {
	w := new(binaryWriter)
	w.TProtocol = thrift.NewTBinaryProtocolConf(sink{b: &w.buffer}, nil)
	return w
}

func newCompactWriter() any {
	w := new(compactWriter)
	w.TProtocol = thrift.NewTCompactProtocolConf(sink{b: &w.buffer}, nil)
	return w
}

func newBinaryReader() any {
	r := new(binaryReader)
	r.TProtocol = thrift.NewTBinaryProtocolConf(source{m: &r.message}, nil)
	return r
}

func newCompactReader() any {
	r := new(compactReader)
	r.TProtocol = thrift.NewTCompactProtocolConf(source{m: &r.message}, nil)
	return r
}
