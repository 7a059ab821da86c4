package main

import (
	"crypto/tls"
	"net"
	"slices"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// direct returns a client of one address, without any registry.
func (a *app) direct(r callRequest, conf *tls.Config) (thrift.TClient, func(), error) {
	if err := checkInstance(r); err != nil {
		return nil, nil, err
	}
	endpoint := &rpc.Endpoint{ID: r.instance, Service: r.service, Addr: r.instance, Protocol: r.protocol,
		Prefix: r.prefix, TLS: r.tls}
	c, err := rpc.NewClient(rpc.ClientConfig{
		Resolver: rpc.Static(endpoint), Caller: callerName, ConnectTimeout: a.flags.timeout, TLS: conf,
	})
	if err != nil {
		return nil, nil, err
	}
	never := 0
	client, err := c.Service(r.service, rpc.ServiceOptions{Timeout: a.flags.timeout, Retries: &never})
	if err != nil {
		c.Close()
		return nil, nil, usagef("%w", err)
	}
	return client, func() { c.Close() }, nil
}

// callerName is the name of this program at servers and in their statistics.
const callerName = policychange.CommandCaller

func checkInstance(r callRequest) error {
	host, port, err := net.SplitHostPort(r.instance)
	if err != nil || host == "" || port == "" {
		return usagef("--instance %q: want HOST:PORT", r.instance)
	}
	if r.prefix != "" && registry.Protocol(r.protocol) == registry.ProtocolSkerry {
		return usagef("--prefix is for plain Thrift servers: say --protocol, too")
	}
	known := slices.DeleteFunc(registry.Protocols(), func(p registry.Protocol) bool { return !p.Thrift() })
	if slices.Contains(known, registry.Protocol(r.protocol)) {
		return nil
	}
	return usagef("--protocol %q: known are %v", r.protocol, known)
}
