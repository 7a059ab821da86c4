package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/skerry/skerry/internal/run"
	sk "github.com/skerry/skerry/registry"
)

// etcd keeps each instance as a key under its service, with one lease for a
// process, of three paces; the client renews it every pace. Consumers watch
// the keys of their services.
type etcd struct {
	server  *process
	port    int
	clients []*clientv3.Client
	writer  *clientv3.Client
	group   *run.Group
}

func (e *etcd) start(ctx context.Context, l load, a *arrivals) (err error) {
	e.group = run.NewGroup(context.WithoutCancel(ctx))
	if e.port, err = freePort(); err != nil {
		return err
	}
	peer, err := freePort()
	if err != nil {
		return err
	}
	at, peerAt := fmt.Sprintf("http://127.0.0.1:%d", e.port), fmt.Sprintf("http://127.0.0.1:%d", peer)
	e.server, err = startProcess(nil, "etcd", "--name", "bench", "--data-dir", "{dir}/data", "--log-level", "error",
		"--listen-client-urls", at, "--advertise-client-urls", at, "--listen-peer-urls", peerAt,
		"--initial-advertise-peer-urls", peerAt, "--initial-cluster", "bench="+peerAt)
	if err != nil {
		return err
	}
	if e.writer, err = e.dial(ctx); err != nil {
		return err
	}
	e.clients = make([]*clientv3.Client, l.processes())
	err = each(ctx, l.processes(), 20, func(ctx context.Context, i int) error {
		if e.clients[i], err = e.dial(ctx); err != nil {
			return err
		}
		return e.offer(ctx, e.clients[i], l, i)
	})
	if err != nil {
		return err
	}
	return each(ctx, l.consumers, 20, func(ctx context.Context, i int) error {
		for _, name := range l.used(i) {
			if err := e.consume(ctx, e.clients[i], name, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// dial connects and waits until the server answers.
func (e *etcd) dial(ctx context.Context) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{fmt.Sprintf("127.0.0.1:%d", e.port)},
		DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	return c, await(ctx, "etcd", func() bool {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := c.Get(ctx, "ready")
		return err == nil
	})
}

func key(name string, process int) string { return fmt.Sprintf("/%s/%d", name, process) }

// value is an instance as JSON, which is what such registries keep.
func value(name string, port int) string {
	b, _ := json.Marshal(sk.Instance{Service: name, Version: "v1", Host: "10.0.0.1", Port: port}) // plain fields
	return string(b)
}

// offer lists the instances of a process under a lease that it keeps alive.
func (e *etcd) offer(ctx context.Context, c *clientv3.Client, l load, process int) error {
	names := l.offered(process)
	if len(names) == 0 {
		return nil
	}
	lease, err := c.Grant(ctx, int64(3*l.pace/time.Second))
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := c.Put(ctx, key(name, process), value(name, 1000+process),
			clientv3.WithLease(lease.ID)); err != nil {
			return err
		}
	}
	answers, err := c.KeepAlive(e.group.Context(), lease.ID)
	if err != nil {
		return err
	}
	e.group.Go(func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case _, ok := <-answers:
				if !ok {
					return nil
				}
			}
		}
	})
	return nil
}

// consume reads a service and keeps a list of it by watching.
func (e *etcd) consume(ctx context.Context, c *clientv3.Client, name string, a *arrivals) error {
	prefix := "/" + name + "/"
	now, err := c.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	list := map[string]sk.Instance{}
	for _, kv := range now.Kvs {
		var in sk.Instance
		if err := json.Unmarshal(kv.Value, &in); err != nil {
			return err
		}
		list[string(kv.Key)] = in
	}
	watch := c.Watch(e.group.Context(), prefix, clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1))
	e.group.Go(func(context.Context) error {
		for news := range watch {
			for _, event := range news.Events {
				if event.Type == clientv3.EventTypeDelete {
					delete(list, string(event.Kv.Key))
					continue
				}
				var in sk.Instance
				if json.Unmarshal(event.Kv.Value, &in) != nil {
					continue // not of this benchmark
				}
				if list[string(event.Kv.Key)] = in; name == changing {
					a.arrived(in.Port)
				}
			}
		}
		return nil
	})
	return nil
}

func (e *etcd) change(ctx context.Context, k int) error {
	_, err := e.writer.Put(ctx, key(changing, k), value(changing, k))
	return err
}

func (e *etcd) undo(ctx context.Context, k int) error {
	_, err := e.writer.Delete(ctx, key(changing, k))
	return err
}

func (e *etcd) cpu() time.Duration { return cpuOf(e.server.pid()) }

func (e *etcd) meter(ctx context.Context) (usage, error) {
	return usage{cpu: e.cpu(), bytes: sentAndReceived(ctx, e.port), memory: ownMemory(e.server.pid()),
		statements: -1, connections: len(e.clients) + 1}, nil
}

func (e *etcd) close() error {
	if e.group == nil || e.server == nil {
		return nil
	}
	_ = e.server.close() // first: no client has to say goodbye
	for _, c := range append(e.clients, e.writer) {
		if c != nil {
			_ = c.Close() // its server is gone
		}
	}
	return e.group.Stop()
}
