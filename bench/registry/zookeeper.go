package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/skerry/skerry/internal/run"
	sk "github.com/skerry/skerry/registry"
)

// zookeeper keeps each instance as an ephemeral node under its service. The
// session of a process lasts three paces, and its client pings every third of
// that. Consumers watch the children of their services; as such a watch fires
// once, and names no instance, they set it again, and read which is new.
type zookeeper struct {
	server *process
	port   int
	conns  []*zk.Conn
	writer *zk.Conn
	group  *run.Group
}

const zooConfig = `tickTime=2000
dataDir={dir}
clientPort=%d
clientPortAddress=127.0.0.1
maxClientCnxns=0
maxSessionTimeout=3600000
admin.enableServer=false
`

// zooClasses is where Debian keeps the server and what it needs.
const zooClasses = "/usr/share/java/zookeeper.jar:/usr/share/java/*"

func (z *zookeeper) start(ctx context.Context, l load, a *arrivals) (err error) {
	z.group = run.NewGroup(context.WithoutCancel(ctx))
	if z.port, err = freePort(); err != nil {
		return err
	}
	z.server, err = startProcess(map[string]string{"zoo.cfg": fmt.Sprintf(zooConfig, z.port)},
		"java", "-Xmx512m", "-cp", zooClasses, "org.apache.zookeeper.server.quorum.QuorumPeerMain", "{dir}/zoo.cfg")
	if err != nil {
		return err
	}
	if z.writer, err = z.dial(ctx, l); err != nil {
		return err
	}
	for i := range l.services() {
		if err := z.create(z.writer, "/"+service(i), 0, ""); err != nil {
			return err
		}
	}
	if err := z.create(z.writer, "/"+changing, 0, ""); err != nil {
		return err
	}
	z.conns = make([]*zk.Conn, l.processes())
	err = each(ctx, l.processes(), 20, func(ctx context.Context, i int) error {
		if z.conns[i], err = z.dial(ctx, l); err != nil {
			return err
		}
		for _, name := range l.offered(i) {
			if err := z.create(z.conns[i], key(name, i), zk.FlagEphemeral, value(name, 1000+i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, l.consumers, 20, func(_ context.Context, i int) error {
		for _, name := range l.used(i) {
			if err := z.consume(z.conns[i], name, a); err != nil {
				return err
			}
		}
		return nil
	})
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// dial tries several times: a connection that the server's queue has dropped
// is missed by the client only after most of a session.
func (z *zookeeper) dial(ctx context.Context, l load) (*zk.Conn, error) {
	for range 10 {
		c, _, err := zk.Connect([]string{fmt.Sprintf("127.0.0.1:%d", z.port)}, 3*l.pace, zk.WithLogger(quiet{}))
		if err != nil {
			return nil, err
		}
		soon, cancel := context.WithTimeout(ctx, 10*time.Second)
		err = await(soon, "ZooKeeper", func() bool { return c.State() == zk.StateHasSession })
		cancel()
		if err == nil {
			return c, nil
		}
		c.Close()
	}
	return nil, errors.New("ZooKeeper gives no session")
}

func (z *zookeeper) create(c *zk.Conn, name string, flags int32, data string) error {
	if _, err := c.Create(name, []byte(data), flags, zk.WorldACL(zk.PermAll)); err != nil &&
		!errors.Is(err, zk.ErrNodeExists) {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}

// consume reads a service and keeps a list of it by watching its children.
func (z *zookeeper) consume(c *zk.Conn, name string, a *arrivals) error {
	list := map[string]sk.Instance{}
	read := func() (<-chan zk.Event, error) {
		children, _, fired, err := c.ChildrenW("/" + name)
		if err != nil {
			return nil, err
		}
		next := make(map[string]sk.Instance, len(children))
		for _, child := range children {
			in, known := list[child]
			if !known {
				b, _, err := c.Get(path.Join("/"+name, child))
				if err != nil {
					continue // it has left meanwhile; the watch will fire
				}
				if err := json.Unmarshal(b, &in); err != nil {
					continue // not of this benchmark
				}
				if name == changing {
					a.arrived(in.Port)
				}
			}
			next[child] = in
		}
		list = next
		return fired, nil
	}
	fired, err := read()
	if err != nil {
		return err
	}
	z.group.Go(func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case _, ok := <-fired:
				if !ok {
					return nil
				}
			}
			if fired, err = read(); err != nil {
				return nil // the server has ended
			}
		}
	})
	return nil
}

func (z *zookeeper) change(_ context.Context, k int) error {
	return z.create(z.writer, key(changing, k), 0, value(changing, k))
}

func (z *zookeeper) undo(_ context.Context, k int) error {
	return z.writer.Delete("/"+changing+"/"+strconv.Itoa(k), -1)
}

func (z *zookeeper) cpu() time.Duration { return cpuOf(z.server.pid()) }

func (z *zookeeper) meter(ctx context.Context) (usage, error) {
	return usage{cpu: z.cpu(), bytes: sentAndReceived(ctx, z.port), memory: ownMemory(z.server.pid()),
		statements: -1, connections: len(z.conns) + 1}, nil
}

func (z *zookeeper) close() error {
	if z.group == nil || z.server == nil {
		return nil
	}
	stopped := make(chan error, 1)
	g := run.NewGroup(context.Background())
	for _, c := range append(z.conns, z.writer) {
		if c != nil {
			g.Go(func(context.Context) error { c.Close(); return nil })
		}
	}
	g.Go(func(context.Context) error { stopped <- z.server.close(); return nil })
	select {
	case err := <-stopped:
		_ = z.group.Stop() // it ends by cancellation only
		return err
	case <-time.After(20 * time.Second):
		return errors.New("ZooKeeper does not end")
	}
}
