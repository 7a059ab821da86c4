package discovery

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc"
)

// empty is a struct without fields, in the form of generated code.
type empty struct{}

func (empty) Read(ctx context.Context, p thrift.TProtocol) error { return p.Skip(ctx, thrift.STRUCT) }
func (empty) Write(ctx context.Context, p thrift.TProtocol) error {
	return p.WriteFieldStop(ctx)
}

// A client and its Discovery: every attempt of a call goes to another instance, and the
// connections' events reach the list.
func TestAttemptsOfAClient(t *testing.T) {
	for _, o := range []Options{{}, {Balancer: balanceRoundRobin}, {Balancer: balanceHash}} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Options = always(o) })
			w.kill(errRefused, 1, 2, 3, 4)
			w.db.lists(1, 2, 3, 4)
			var mu sync.Mutex
			var dialed []string
			client, err := rpc.NewClient(rpc.ClientConfig{Resolver: w, Watcher: w,
				Dial: func(_ context.Context, addr string) (net.Conn, error) {
					mu.Lock()
					defer mu.Unlock()
					dialed = append(dialed, addr)
					return nil, errRefused
				}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			retries := 9
			auth, err := client.Service("auth", rpc.ServiceOptions{Retries: &retries})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				w.after(time.Second) // the client remembers a failed dial for a moment
				dialed = nil
				_, err = auth.Call(rpc.WithHashKey(t.Context(), "user-7"), "ping", empty{}, empty{})
				slices.Sort(dialed)
				if rpc.CodeOf(err) != rpc.Unreachable || len(dialed) != 4 || len(slices.Compact(dialed)) != 4 {
					t.Fatalf("%+v: dialed %v: %v", o, dialed, err)
				}
			}
			w.expectEntry(1, Ejected, "3 connections in a row failed: ")
			w.expect("never the last ones", 1, 2, 3, 4)
		})
	}
}
