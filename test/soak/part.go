//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/test/consistency/hop"
)

// envPart holds the role of a process; unset, this is the run.
const envPart = "SKERRY_SOAK_PART"

// part is the role of a process: a provider of a service, which calls others, or a caller, which
// begins Rate requests a second.
type part struct {
	Name    string
	Config  string
	Service string
	Version string
	Calls   []string
	Rate    int
}

// out writes lines for the run: each in one write, so that they stay whole.
var out sync.Mutex

func say(words ...any) {
	line := fmt.Sprintln(words...)
	out.Lock()
	defer out.Unlock()
	_, _ = os.Stdout.WriteString(line) // the run has ended, and so will this process
}

func (p part) run(ctx context.Context) error {
	node, err := skerry.OpenFile(ctx, p.Config)
	if err != nil {
		return err
	}
	defer node.Close()
	go p.measure(ctx)
	w := worker{p, map[string]*hop.HopClient{}}
	for _, to := range p.Calls {
		w.stubs[to] = skerry.Stub(node, to, hop.NewHopClient)()
	}
	say("ready", os.Getpid())
	if p.Rate == 0 {
		return node.Serve(ctx, p.Service, hop.NewHopProcessor(w))
	}
	w.ask(ctx)
	return nil
}

// measure reports the resources of the process at intervals.
func (p part) measure(ctx context.Context) {
	for ctx.Err() == nil {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		open, _ := os.ReadDir("/proc/self/fd")
		say("uses", runtime.NumGoroutine(), m.HeapAlloc>>10, len(open))
		pause(ctx, 15*time.Second)
	}
}

// worker makes the calls of one process.
type worker struct {
	part
	stubs map[string]*hop.HopClient
}

// Visit calls every service that this one calls, one after the other.
func (w worker) Visit(ctx context.Context, trace string) error {
	say("met", trace, w.Service, w.Version)
	for _, to := range w.Calls {
		if err := w.stubs[to].Visit(ctx, trace); err != nil {
			return fmt.Errorf("%s calls %s: %w", w.Name, to, err)
		}
	}
	return nil
}

// Post is not called.
func (w worker) Post(context.Context, string) error { return nil }

// ask begins requests until it is stopped, and waits for those under way.
func (w worker) ask(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	var n atomic.Int64
	for ctx.Err() == nil {
		all.Go(func() {
			trace := fmt.Sprintf("%s/%d", w.Name, n.Add(1))
			begun := time.Now()
			if err := w.stubs["portal"].Visit(context.WithoutCancel(ctx), trace); err != nil {
				say("failed", trace, begun.UnixMilli(), time.Now().UnixMilli(),
					strings.ReplaceAll(err.Error(), "\n", " "))
				return
			}
			say("done", trace, time.Since(begun).Milliseconds())
		})
		pause(ctx, time.Second/time.Duration(w.Rate))
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
