package registry

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/run"
	sk "github.com/skerry/skerry/registry"
)

// site is skerry in database mode: each process is a node as users have it.
type site struct {
	db     *database
	nodes  []*skerry.Node
	writer *skerry.Node // makes the changes
	group  *run.Group
	ports  atomic.Int64
}

func (s *site) start(ctx context.Context, l load, a *arrivals) (err error) {
	s.group = run.NewGroup(context.WithoutCancel(ctx))
	if s.db, err = startDatabase(ctx, 3*l.processes()+10, ""); err != nil {
		return err
	}
	s.nodes = make([]*skerry.Node, l.processes())
	err = each(ctx, l.processes(), 50, func(ctx context.Context, i int) error {
		s.nodes[i], err = s.open(ctx, l, l.offered(i))
		return err
	})
	if err != nil {
		return err
	}
	if s.writer, err = s.open(ctx, l, nil, skerry.AsGuest()); err != nil {
		return err
	}
	for i := range l.consumers {
		s.consume(s.nodes[i], l.used(i), a)
	}
	return each(ctx, l.consumers, 1, func(ctx context.Context, i int) error {
		for _, name := range l.used(i)[1:] {
			err := await(ctx, "the list of "+name, func() bool { return len(s.nodes[i].Explain(name)) >= l.listed() })
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// open starts a process and lists its instances.
func (s *site) open(ctx context.Context, l load, services []string, opts ...skerry.Option) (*skerry.Node, error) {
	n, err := skerry.Open(ctx, skerry.Config{
		Cluster: "bench", Mode: skerry.ModeDatabase, StateDir: "none", Log: skerry.Log{Level: "error"},
		Services: []skerry.Service{{Name: "unused", Listen: "127.0.0.1:0", Advertise: "127.0.0.1"}}, // where a node looks for its own port's address
		Database: skerry.Database{URL: s.db.url(), Heartbeat: l.pace, Poll: l.pace, Expiry: 3 * l.pace},
	}, append(opts, skerry.WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil || len(services) == 0 {
		return n, err
	}
	port := int(s.ports.Add(1))
	list := make([]sk.Instance, len(services))
	for i, name := range services {
		list[i] = sk.Instance{Service: name, Version: "v1", Host: "10.0.0.1", Port: port}
	}
	return n, n.Register(ctx, list...)
}

// consume has a node use services and tells of the changes that it sees.
func (s *site) consume(n *skerry.Node, services []string, a *arrivals) {
	events, stop := n.Subscribe(10_000)
	for _, name := range services {
		n.Explain(name)
	}
	s.group.Go(func(ctx context.Context) error {
		defer stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case e := <-events:
				if e.Kind != discovery.Listed || e.Entry.Service != changing {
					continue
				}
				_, port, _ := strings.Cut(e.Entry.Addr, ":")
				k, _ := strconv.Atoi(port)
				a.arrived(k)
			}
		}
	})
}

func (s *site) change(ctx context.Context, k int) error {
	return s.writer.Register(ctx, changed(k))
}

func (s *site) undo(ctx context.Context, k int) error {
	return s.writer.Withdraw(ctx, changed(k).ID())
}

// changed is the instance of change k.
func changed(k int) sk.Instance {
	return sk.Instance{Service: changing, Version: "v1", Host: "10.0.0.1", Port: k}
}

func (s *site) cpu() time.Duration { return s.db.cpu() }

func (s *site) meter(ctx context.Context) (usage, error) { return s.db.meter(ctx) }

func (s *site) close() error {
	if s.group != nil {
		_ = s.group.Stop() // it ends by cancellation only
	}
	if s.db == nil {
		return nil
	}
	err := s.db.close() // first: a thousand goodbyes to a thousand listeners take long
	_ = each(context.Background(), len(s.nodes), 100, func(_ context.Context, i int) error {
		if s.nodes[i] != nil {
			_ = s.nodes[i].Close() // can't withdraw any more
		}
		return nil
	})
	if s.writer != nil {
		_ = s.writer.Close()
	}
	return err
}
