package callpath

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"

	"github.com/skerry/skerry/bench/benchproto"
)

type protoHandler struct {
	benchproto.UnimplementedEchoServer
	headers bool
}

func (h protoHandler) Echo(ctx context.Context, m *benchproto.Msg) (*benchproto.Msg, error) {
	if m.Id < 0 {
		time.Sleep(slowTime)
	}
	if h.headers {
		if err := grpc.SetHeader(ctx, metadata.Pairs(traceKey, traceValue, callerKey, callerName)); err != nil {
			return nil, err
		}
	}
	return &benchproto.Msg{Msg: m.Msg, Tags: m.Tags, Id: m.Id}, nil
}

func grpcPeer() peer { return grpcWith("grpc", "gRPC-Go, one connection", false) }

func grpcMetadataPeer() peer {
	return grpcWith("grpc-md", "gRPC-Go with two metadata pairs each way", true)
}

func grpcTLSPeer() peer {
	p := grpcWith("grpc-tls", "the same over TLS", true)
	p.tls = true
	return p
}

// grpcCredentials are those of both sides.
func grpcCredentials() (server, client credentials.TransportCredentials, err error) {
	if certificates == "" {
		return insecure.NewCredentials(), insecure.NewCredentials(), nil
	}
	cert, key := certificateFiles()
	if server, err = credentials.NewServerTLSFromFile(cert, key); err == nil {
		client, err = credentials.NewClientTLSFromFile(cert, "bench")
	}
	return server, client, err
}

func grpcWith(name, about string, headers bool) peer {
	return peer{name: name, about: about,
		serve: func(ctx context.Context, ln net.Listener) error {
			creds, _, err := grpcCredentials()
			if err != nil {
				return err
			}
			s := grpc.NewServer(grpc.Creds(creds))
			benchproto.RegisterEchoServer(s, protoHandler{headers: headers})
			go func() { <-ctx.Done(); s.Stop() }()
			return s.Serve(ln)
		},
		dial: func(_ context.Context, addr string) (func() (call, error), error) {
			_, creds, err := grpcCredentials()
			if err != nil {
				return nil, err
			}
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
			if err != nil {
				return nil, err
			}
			client := benchproto.NewEchoClient(conn)
			return func() (call, error) {
				return func(ctx context.Context, id int64) error { return grpcCall(ctx, client, id, headers) }, nil
			}, nil
		},
	}
}

func grpcCall(ctx context.Context, client benchproto.EchoClient, id int64, headers bool) error {
	if !headers {
		m, err := client.Echo(ctx, protoMsg(id))
		if err != nil {
			return err
		}
		return check(m.Id, m.Msg, m.Tags, id)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, traceKey, traceValue, callerKey, callerName)
	var back metadata.MD
	m, err := client.Echo(ctx, protoMsg(id), grpc.Header(&back))
	if err != nil {
		return err
	}
	if v := back.Get(traceKey); len(v) != 1 || v[0] != traceValue {
		return fmt.Errorf("the reply's metadata is missing: %v", back)
	}
	return check(m.Id, m.Msg, m.Tags, id)
}

type drpcHandler struct {
	benchproto.DRPCEchoUnimplementedServer
}

func (drpcHandler) Echo(_ context.Context, m *benchproto.Msg) (*benchproto.Msg, error) {
	if m.Id < 0 {
		time.Sleep(slowTime)
	}
	return &benchproto.Msg{Msg: m.Msg, Tags: m.Tags, Id: m.Id}, nil
}

func drpcPeer() peer {
	return peer{name: "drpc", about: "storj drpc, a connection per worker",
		serve: func(ctx context.Context, ln net.Listener) error {
			mux := drpcmux.New()
			if err := benchproto.DRPCRegisterEcho(mux, drpcHandler{}); err != nil {
				return err
			}
			return drpcserver.New(mux).Serve(ctx, ln)
		},
		dial: func(_ context.Context, addr string) (func() (call, error), error) {
			return func() (call, error) {
				raw, err := net.Dial("tcp", addr)
				if err != nil {
					return nil, err
				}
				client := benchproto.NewDRPCEchoClient(drpcconn.New(raw))
				return func(ctx context.Context, id int64) error {
					m, err := client.Echo(ctx, protoMsg(id))
					if err != nil {
						return err
					}
					return check(m.Id, m.Msg, m.Tags, id)
				}, nil
			}, nil
		},
	}
}
