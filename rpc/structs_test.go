package rpc

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"
)

// noStruct is an empty struct.
type noStruct struct{}

func (noStruct) Write(ctx context.Context, p thrift.TProtocol) error { return p.WriteFieldStop(ctx) }
func (noStruct) Read(ctx context.Context, p thrift.TProtocol) error {
	return thrift.SkipDefaultDepth(ctx, p, thrift.STRUCT)
}

// garbled announces a struct and ends early.
type garbled struct{ noStruct }

func (garbled) Write(ctx context.Context, p thrift.TProtocol) error {
	return p.WriteFieldBegin(ctx, "m", thrift.STRUCT, 1)
}
