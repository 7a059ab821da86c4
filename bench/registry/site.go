package registry

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	sk "github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// site is skerry in database mode. A process is what a node has for the
// registry: its registry/postgres and its discovery, with the hidden
// registration of the process itself, and its eye on those of all others.
type site struct {
	db     *database
	nodes  []*node
	writer *node // makes the changes

	counted    bool // statements are counted by their text
	statistics int  // rows that each process writes in a pace
}

type node struct {
	db    *postgres.Registry
	lists *discovery.Discovery
	group *run.Group
}

// hiddenName is the service under which nodes list their processes.
const hiddenName = "skerry.node"

func (s *site) start(ctx context.Context, l load, a *arrivals) (err error) {
	more := ""
	if s.counted {
		more = "shared_preload_libraries = 'pg_stat_statements'"
	}
	if s.db, err = startDatabase(ctx, l.processes()+10, more); err != nil {
		return err
	}
	if s.nodes, err = openNodes(ctx, s.db, l); err != nil {
		return err
	}
	if s.writer, err = open(ctx, s.db.url(), l, l.processes(), nil); err != nil {
		return err
	}
	for i := range l.consumers {
		s.nodes[i].consume(l.used(i), a)
	}
	for _, n := range s.nodes {
		n.count(s.statistics, l.pace)
	}
	return each(ctx, l.consumers, 1, func(ctx context.Context, i int) error {
		for _, name := range l.used(i)[1:] {
			err := await(ctx, "the list of "+name, func() bool {
				return len(s.nodes[i].lists.Explain(name)) >= l.listed()
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// openNodes starts all processes, fifty at a time.
func openNodes(ctx context.Context, db *database, l load) ([]*node, error) {
	nodes := make([]*node, l.processes())
	return nodes, each(ctx, len(nodes), 50, func(ctx context.Context, i int) (err error) {
		nodes[i], err = open(ctx, db.url(), l, i, l.offered(i))
		return err
	})
}

// open starts a process and lists its instances.
func open(ctx context.Context, url string, l load, process int, services []string) (*node, error) {
	log := slog.New(slog.DiscardHandler)
	owner := sk.Owner{Host: "host-" + strconv.Itoa(process), PID: 1000 + process, Epoch: time.Now().UnixMicro()}
	db, err := postgres.New(postgres.Config{URL: url, Cluster: "bench", Owner: owner,
		Heartbeat: l.pace, Poll: l.pace, Expiry: max(3*l.pace, 30*time.Second), Logger: log,
		Applied: func() rollout.Generation { return rollout.Generation{} }, Rules: func([]rollout.Entry) {}})
	if err != nil {
		return nil, err
	}
	lists, err := discovery.New(discovery.Config{Cluster: "bench", Logger: log,
		Sources: []discovery.Source{{Name: "database", Registry: db}}})
	if err != nil {
		return nil, err
	}
	n := &node{db: db, lists: lists, group: run.NewGroup(context.WithoutCancel(ctx))}
	stop := func() {}
	if !l.leases {
		stop = db.Watch(hiddenName, func(sk.Snapshot) {})
	}
	n.group.Go(func(ctx context.Context) error { defer stop(); return db.Run(ctx) })
	n.group.Go(lists.Run)
	list := []sk.Instance{{Service: hiddenName, Host: "10.0.0.1", Port: 1000 + process, Weight: -1}}
	for _, name := range services {
		list = append(list, sk.Instance{Service: name, Version: "v1", Host: "10.0.0.1", Port: 1000 + process})
	}
	return n, db.Register(ctx, list...)
}

// consume has a process use services and tells of the changes that it sees.
func (n *node) consume(services []string, a *arrivals) {
	events, stop := n.lists.Subscribe(1000) // a tenth of them comes at once
	for _, name := range services {
		n.lists.Resolve(name)
	}
	n.group.Go(func(ctx context.Context) error {
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

// count has a process write what it has counted of its calls.
func (n *node) count(rows int, pace time.Duration) {
	if rows == 0 {
		return
	}
	period := make([]health.Row, rows)
	for i := range period {
		period[i].Key = health.Key{Side: health.Client, Service: service(i), Version: "v1", Method: "call",
			Peer: "10.0.0.1:1000"}
		period[i].Outcomes[health.OK] = 1000
	}
	n.group.Go(func(ctx context.Context) error {
		wait := run.Jitter(pace, 1)
		for run.Sleep(ctx, wait) == nil {
			now := time.Now()
			for i := range period {
				period[i].From, period[i].To = now.Add(-pace), now
			}
			_ = n.db.Write(ctx, period) // what is lost is not counted
			wait = pace
		}
		return nil
	})
}

func (s *site) change(ctx context.Context, k int) error { return s.writer.db.Register(ctx, changed(k)) }

func (s *site) undo(ctx context.Context, k int) error {
	return s.writer.db.Deregister(ctx, sk.ID{Service: changing, Version: "v1", Addr: changed(k).Addr()})
}

// changed is the instance of change k.
func changed(k int) sk.Instance {
	return sk.Instance{Service: changing, Version: "v1", Host: "10.0.0.1", Port: k}
}

func (s *site) cpu() time.Duration { return s.db.cpu() }

func (s *site) meter(ctx context.Context) (usage, error) { return s.db.meter(ctx) }

// rested prints what the database was asked while it was at rest.
func (s *site) rested(ctx context.Context, window time.Duration) error {
	counts, err := s.db.statements(ctx)
	for _, c := range counts {
		say("%8.2f/s %8.0f µs  %s", float64(c.Calls)/window.Seconds(), c.Micros, c.Text)
	}
	return err
}

func (s *site) close() error {
	if s.db == nil {
		return nil
	}
	err := s.db.close() // first: a thousand goodbyes to a thousand listeners take long
	closeNodes(append(s.nodes, s.writer))
	return err
}

func closeNodes(nodes []*node) {
	_ = each(context.Background(), len(nodes), len(nodes), func(_ context.Context, i int) error {
		if nodes[i] != nil {
			_ = nodes[i].group.Stop() // it can't withdraw any more
		}
		return nil
	})
}
