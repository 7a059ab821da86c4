package proxy

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/rpc"
)

// maxOthers bounds the earlier proxies of the socket that still run.
const maxOthers = 8

// others holds the other proxies of the program, which words may name.
type others struct {
	path string // of the socket; "" with TCP, which has no other proxies

	mu    sync.Mutex
	known map[string]*other
}

// other is another proxy of the program.
type other struct {
	file    string
	calls   *rpc.Client
	mu      sync.Mutex
	clients map[string]thrift.TClient
}

func newOthers(s *socket) *others {
	o := &others{known: map[string]*other{}}
	if s.network == "unix" {
		o.path = s.addr
	}
	return o
}

// find returns the proxy with an id, nil when it is gone.
func (o *others) find(id string) *other {
	if o.path == "" {
		return nil
	}
	file := ownPath(o.path, id)
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.known[id]
	_, err := os.Lstat(file)
	switch {
	case err != nil && known != nil:
		delete(o.known, id)
		_ = known.calls.Close()
		return nil
	case err != nil || known != nil:
		return known
	case len(o.known) >= maxOthers:
		return nil
	}
	calls, err := dialProxy("unix", file)
	if err != nil {
		return nil
	}
	known = &other{file: file, calls: calls, clients: map[string]thrift.TClient{}}
	o.known[id] = known
	return known
}

func (o *others) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, known := range o.known {
		_ = known.calls.Close()
	}
}

// otherTimeout limits a call that is passed on. The other proxy applies the call's
// own deadline.
const otherTimeout = time.Hour

// client returns a client of a service through the other proxy.
func (o *other) client(service string) (thrift.TClient, error) {
	if err := nameError(service); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.clients[service]; c != nil {
		return c, nil
	}
	options := rpc.ServiceOptions{Timeout: otherTimeout, Retries: new(int), Breaker: rpc.Breaker{Off: true}}
	c, err := o.calls.Service(service, options)
	if err == nil && len(o.clients) < maxCallees {
		o.clients[service] = c
	}
	return c, err
}

// dialProxy returns a client of a proxy's socket.
func dialProxy(network, addr string) (*rpc.Client, error) {
	return rpc.NewClient(rpc.ClientConfig{
		Resolver: rpc.Static(&rpc.Endpoint{ID: addr, Addr: addr}),
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	})
}
