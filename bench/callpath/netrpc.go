package callpath

import (
	"context"
	"net"
	"net/rpc"
	"time"
)

// GobMsg is the message of the net/rpc peer.
type GobMsg struct {
	Msg  string
	Tags map[string]string
	ID   int64
}

// Echo is the net/rpc service.
type Echo struct{}

// Echo answers with the same fields.
func (Echo) Echo(in *GobMsg, out *GobMsg) error {
	if in.ID < 0 {
		time.Sleep(slowTime)
	}
	*out = GobMsg{Msg: in.Msg, Tags: in.Tags, ID: in.ID}
	return nil
}

func netrpcPeer() peer {
	return peer{name: "net-rpc", about: "net/rpc of the standard library (gob), one connection",
		serve: func(ctx context.Context, ln net.Listener) error {
			s := rpc.NewServer()
			if err := s.Register(Echo{}); err != nil {
				return err
			}
			go func() { <-ctx.Done(); ln.Close() }()
			s.Accept(ln)
			return nil
		},
		dial: func(_ context.Context, addr string) (func() (call, error), error) {
			client, err := rpc.Dial("tcp", addr)
			if err != nil {
				return nil, err
			}
			return func() (call, error) {
				return func(_ context.Context, id int64) error {
					var out GobMsg
					if err := client.Call("Echo.Echo", &GobMsg{payload.text, payload.tags, id}, &out); err != nil {
						return err
					}
					return check(out.ID, out.Msg, out.Tags, id)
				}, nil
			}, nil
		},
	}
}
