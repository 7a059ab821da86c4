package lan

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/bench/benchthrift"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
)

const (
	service = "station"
	pause   = 100 * time.Millisecond // between two calls of a host
	look    = 25 * time.Millisecond  // between two looks at the list
)

// skerryNode is a node as a user has it, on the LAN.
type skerryNode struct {
	place
	node  *skerry.Node
	group *run.Group
}

func (s *skerryNode) join(ctx context.Context, tell *teller) (err error) {
	none := 0
	s.node, err = skerry.Open(ctx, skerry.Config{
		Cluster: "bench", Mode: config.ModeBroadcast, StateDir: "none", Log: config.Log{Level: "error"},
		Services:  []config.Service{{Name: service, Version: "v1", Listen: net.JoinHostPort(s.ip, "0")}},
		LAN:       config.LAN{Key: lab.SiteKey},
		Consumers: map[string]config.Consumer{service: {Retries: &none}},
		Stop:      config.Stop{Grace: -1},
	})
	if err != nil {
		return err
	}
	s.node.Client(service) // from now on it is watched
	if err := s.node.Handle(ctx, service, benchthrift.NewEchoProcessor(station{s.host})); err != nil {
		return err
	}
	s.group = run.NewGroup(ctx)
	s.group.Go(func(ctx context.Context) error { s.watch(ctx, tell); return nil })
	return nil
}

func (s *skerryNode) leave() error { return errors.Join(s.group.Stop(), s.node.Close()) }

// watch tells of changes of the list.
func (s *skerryNode) watch(ctx context.Context, tell *teller) {
	listed := make([]bool, s.hosts)
	for ctx.Err() == nil {
		now := make([]bool, s.hosts)
		for _, e := range s.node.Explain(service) {
			if host := hostOf(e.Addr); host >= 0 && host < s.hosts && e.State != "gone" {
				now[host] = true
			}
		}
		for host := range now {
			if now[host] != listed[host] {
				tell.listed(host, now[host])
			}
		}
		listed = now
		_ = run.Sleep(ctx, look) // the loop sees the end
	}
}

// hostOf is the number of the host that has an address, -1 for none.
func hostOf(addr string) int {
	at, err := netip.ParseAddrPort(addr)
	if err != nil || !at.Addr().Unmap().Is4() {
		return -1
	}
	return int(at.Addr().Unmap().As4()[3]) - 1
}

// call begins a call every pause, whether the one before has ended or not.
func (s *skerryNode) call(ctx context.Context, tell *teller) {
	stub := skerry.Stub(s.node, service, benchthrift.NewEchoClient)
	calls := run.NewGroup(context.WithoutCancel(ctx)) // a call that was begun is finished
	defer func() { _ = calls.Wait() }()
	for ctx.Err() == nil {
		calls.Go(func(ctx context.Context) error { once(ctx, stub(), tell); return nil })
		_ = run.Sleep(ctx, run.Jitter(pause, 0.5))
	}
}

func once(ctx context.Context, client *benchthrift.EchoClient, tell *teller) {
	begun := time.Now().UnixNano()
	answer, err := client.Echo(ctx, &benchthrift.Msg{})
	if err == nil {
		tell.say("call %d %d ok", begun, answer.ID)
		return
	}
	host := -1
	if e := (*rpc.Error)(nil); errors.As(err, &e) {
		host = hostOf(e.Instance)
	}
	tell.say("call %d %d %v", begun, host, cmp.Or(rpc.CodeOf(err).String(), "failed"))
}

// station answers with its host's number.
type station struct{ host int }

func (s station) Echo(_ context.Context, m *benchthrift.Msg) (*benchthrift.Msg, error) {
	m.ID = int64(s.host)
	return m, nil
}

func (s station) Slow(ctx context.Context, m *benchthrift.Msg, _ int32) (*benchthrift.Msg, error) {
	return s.Echo(ctx, m)
}
