package registry

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// system is one registry with the load on it.
type system interface {
	// start starts the server and all processes, and returns when every
	// consumer knows the services that it uses.
	start(ctx context.Context, l load, a *arrivals) error
	// change lists one more instance, which says k, of the changing service;
	// undo takes it away.
	change(ctx context.Context, k int) error
	undo(ctx context.Context, k int) error
	// meter reads the server's counters.
	meter(ctx context.Context) (usage, error)
	cpu() time.Duration // as in meter, for less
	close() error
}

// usage are a server's counters, since its start.
type usage struct {
	cpu         time.Duration
	bytes       int64 // both ways
	statements  int64 // -1: it does not count them
	connections int
	memory      int64 // what the server's processes have of their own, bytes
}

func (u usage) since(before usage) usage {
	u.cpu -= before.cpu
	u.bytes -= before.bytes
	if u.statements >= 0 {
		u.statements -= before.statements
	}
	return u
}

// newSystem makes a system by its name.
func newSystem(name string) (system, error) {
	switch name {
	case "skerry":
		return &site{}, nil
	case "naive":
		return &naive{}, nil
	case "etcd":
		return &etcd{}, nil
	case "zookeeper":
		return &zookeeper{}, nil
	}
	return nil, fmt.Errorf("unknown system %q; there are: skerry, naive, etcd, zookeeper", name)
}

// each does f for 0 … n-1, some at a time, and returns the first error.
func each(ctx context.Context, n, atOnce int, f func(ctx context.Context, i int) error) error {
	g := run.NewGroup(ctx)
	next := make(chan int)
	for range min(atOnce, n) {
		g.Go(func(ctx context.Context) error {
			for i := range next {
				if err := f(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func(ctx context.Context) error {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
	return g.Wait()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// patience is how long the start of everything may take.
const patience = 2 * time.Minute

// await asks every 20 ms whether something has come about.
func await(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !ok() {
		if run.Sleep(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("%s: not within %v: %w", what, patience, context.Cause(ctx))
		}
	}
	return nil
}
