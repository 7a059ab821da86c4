package registry

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/run"
	sk "github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
	"github.com/skerry/skerry/rpc"
)

// manyInstances is how many a consumer knows while its own costs are measured.
const manyInstances = 10_000

// cost is what knowing many instances of one service costs a consumer.
type cost struct {
	balancer discovery.Balancer
	memory   float64 // bytes for each, with the description that the registry's list holds
	pick     testing.BenchmarkResult
}

// consumerCosts measures a consumer of one service of many instances, which is
// in this process and has a registry in memory: no server is asked.
func consumerCosts(ctx context.Context) (costs []cost, err error) {
	for _, b := range []discovery.Balancer{"round-robin", "hash"} {
		c, err := consumerCost(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("a consumer of %d instances, %s: %w", manyInstances, b, err)
		}
		costs = append(costs, c)
	}
	return costs, nil
}

func consumerCost(ctx context.Context, b discovery.Balancer) (c cost, err error) {
	hub := &registrytest.MemoryStore{}
	site := run.NewGroup(ctx)
	defer func() { _ = site.Stop() }() // it ends by cancellation only
	provider := registrytest.NewMemory(hub, sk.Owner{Host: "provider", PID: 1, Epoch: 1})
	site.Go(provider.Run)
	var list []sk.Instance
	for i := range manyInstances {
		list = append(list, sk.Instance{Service: "many", Version: "v1", Host: fmt.Sprintf("10.0.%d.%d", i/250, i%250),
			Port: 7000, Started: time.Now().Add(-time.Hour)})
	}
	if err := provider.Register(ctx, list...); err != nil {
		return c, err
	}
	before := heap()
	own := registrytest.NewMemory(hub, sk.Owner{Host: "consumer", PID: 1, Epoch: 1})
	lists, err := discovery.New(discovery.Config{Logger: slog.New(slog.DiscardHandler),
		Sources: []discovery.Source{{Name: "memory", Registry: own}},
		Options: func(string) discovery.Options { return discovery.Options{Balancer: b} }})
	if err != nil {
		return c, err
	}
	site.Go(own.Run)
	site.Go(lists.Run)
	picker := lists.Resolve("many")
	if err := await(ctx, "the list", func() bool { return len(lists.Explain("many")) == manyInstances }); err != nil {
		return c, err
	}
	after := heap()
	for range 10 { // until what the start has left behind is gone
		if err := run.Sleep(ctx, 100*time.Millisecond); err != nil {
			return c, err
		}
		after = min(after, heap())
	}
	c = cost{balancer: b, memory: float64(after-before) / manyInstances}
	calls := make([]*rpc.Call, 1024)
	for i := range calls {
		calls[i] = &rpc.Call{HashKey: fmt.Sprint("user-", i)}
	}
	c.pick = testing.Benchmark(func(t *testing.B) {
		t.ReportAllocs()
		for i := 0; t.Loop(); i++ {
			if _, err := picker.Pick(ctx, calls[i&1023]); err != nil {
				t.Fatal(err)
			}
		}
	})
	runtime.KeepAlive(list)
	return c, nil
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has made free of finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
