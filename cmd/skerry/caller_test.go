package main

import (
	"context"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
)

// caller opens a node that calls the clock.
func caller(t *testing.T, cfg string, edit func(*skerry.Config)) *skerry.Node {
	t.Helper()
	c, err := config.Read(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.StateDir, c.Log.Level = "none", "error"
	c.Calls.ConnectTimeout = 900 * time.Millisecond // for a busy machine; twice as much for a plain server
	if edit != nil {
		edit(&c)
	}
	n, err := skerry.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func reset(ctx context.Context, c thrift.TClient) error {
	_, err := c.Call(ctx, "reset", nothing{}, nothing{})
	return err
}

// nothing is an argument list and a result without fields.
type nothing struct{}

func (nothing) Write(ctx context.Context, p thrift.TProtocol) error { return p.WriteFieldStop(ctx) }
func (nothing) Read(ctx context.Context, p thrift.TProtocol) error {
	return thrift.SkipDefaultDepth(ctx, p, thrift.STRUCT)
}
