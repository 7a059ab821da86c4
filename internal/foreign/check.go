package foreign

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/registry"
)

// Check tests whether a provider answers before ctx's deadline.
type Check func(ctx context.Context, in registry.Instance) error

// unknownMethod is the method that the plain thrift check calls. A server that
// answers "no such method" speaks Thrift and works.
const unknownMethod = "skerry_check"

// ParseCheck reads a check: "tcp" makes a connection, and "thrift" accepts any
// answer to a Thrift call, "unknown method" included. "thrift:METHOD" calls the
// method without arguments and needs a reply. "http:/PATH" needs a status below
// 400 for a GET. conf returns the TLS configuration of each new connection to
// an instance with TLS; nil means the system's authorities.
func ParseCheck(s string, conf func() *tls.Config) (Check, error) {
	kind, method, named := strings.Cut(s, ":")
	switch {
	case s == "tcp":
		return func(ctx context.Context, in registry.Instance) error {
			conn, err := dial(ctx, in, conf)
			if err != nil {
				return err
			}
			return conn.Close()
		}, nil
	case kind == "thrift" && (!named || method != ""):
		return func(ctx context.Context, in registry.Instance) error {
			return thriftCheck(ctx, in, conf, method)
		}, nil
	case kind == "http" && strings.HasPrefix(method, "/"):
		return httpCheck(method, conf)
	}
	return nil, fmt.Errorf("check %q: want tcp, thrift, thrift:METHOD or http:/PATH", s)
}

func dial(ctx context.Context, in registry.Instance, conf func() *tls.Config) (net.Conn, error) {
	if in.TLS {
		return (&tls.Dialer{Config: current(conf)}).DialContext(ctx, "tcp", in.Addr())
	}
	return new(net.Dialer).DialContext(ctx, "tcp", in.Addr())
}

// current returns the TLS configuration for a new connection.
func current(conf func() *tls.Config) *tls.Config {
	if conf == nil {
		return nil
	}
	return conf()
}

func thriftCheck(ctx context.Context, in registry.Instance, conf func() *tls.Config, method string) error {
	conn, err := dial(ctx, in, conf)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // ends a wait at once
	defer stop()
	name := cmp.Or(method, unknownMethod)
	from := protocol(conn, in.Protocol)
	out := from
	if prefix := in.Prefix(); prefix != "" {
		out = thrift.NewTMultiplexedProtocol(from, prefix)
	}
	_, err = thrift.NewTStandardClient(from, out).Call(ctx, name, nothing{}, nothing{})
	if _, answered := errors.AsType[thrift.TApplicationException](err); answered && method == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("call %s: %w", name, err)
	}
	return nil
}

// protocol returns a protocol object for the protocol that an instance declares.
func protocol(conn net.Conn, p registry.Protocol) thrift.TProtocol {
	conf := &thrift.TConfiguration{MaxFrameSize: 1 << 20, MaxMessageSize: 1 << 20}
	socket := thrift.NewTSocketFromConnConf(conn, conf)
	switch p {
	case registry.ProtocolFramedBinary:
		return thrift.NewTBinaryProtocolConf(thrift.NewTFramedTransportConf(socket, conf), conf)
	case registry.ProtocolFramedCompact:
		return thrift.NewTCompactProtocolConf(thrift.NewTFramedTransportConf(socket, conf), conf)
	case registry.ProtocolUnframedBinary:
		return thrift.NewTBinaryProtocolConf(thrift.NewTBufferedTransport(socket, 4096), conf)
	case registry.ProtocolUnframedCompact:
		return thrift.NewTCompactProtocolConf(thrift.NewTBufferedTransport(socket, 4096), conf)
	}
	return thrift.NewTHeaderProtocolConf(socket, conf)
}

// nothing is an argument list without arguments, and a reply with skipped content.
type nothing struct{}

func (nothing) Write(ctx context.Context, p thrift.TProtocol) error {
	return errors.Join(p.WriteStructBegin(ctx, "args"), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

func (nothing) Read(ctx context.Context, p thrift.TProtocol) error {
	return thrift.SkipDefaultDepth(ctx, p, thrift.STRUCT)
}
