//go:build linux

package guarantees

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/test/guarantees/echo"
)

// The environment of a process in a role.
const (
	envRole    = "SKERRY_ROLE"    // provider, consumer, stranger, web or edge; unset: this is the test itself
	envConfig  = "SKERRY_YAML"    // path of the configuration file
	envName    = "SKERRY_NAME"    // the name in a provider's answers
	envWorkers = "SKERRY_WORKERS" // a consumer's concurrent callers
	envPause   = "SKERRY_PAUSE"   // a caller's pause between calls
	envHold    = "SKERRY_HOLD"    // milliseconds for which the provider holds a call
	envMore    = "SKERRY_MORE"    // instances that a provider lists besides its own
	envHost    = "SKERRY_HOST"    // at this address
	envFill    = "SKERRY_FILL"    // bytes of baggage that make a call large
)

func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if role == "" {
		pgtest.MainParallel(m, 8)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	run := map[string]func(context.Context, *lines) error{
		"provider": provide, "consumer": consume, "stranger": annoy, "web": provideWeb, "edge": runEdge,
	}[role]
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go sayHeld(asked)
	out := &lines{w: bufio.NewWriter(os.Stdout)}
	go out.flushOften()
	if err := run(ctx, out); err != nil {
		out.print("fatal %v", err)
		os.Exit(1)
	}
	out.flush()
}

// sayHeld answers process.held.
func sayHeld(asked <-chan os.Signal) {
	for range asked {
		runtime.GC()
		runtime.GC() // includes memory in pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(os.Stderr, "held %d KiB\n", (m.HeapAlloc+m.StackInuse)>>10)
	}
}

// lines writes whole lines to stdout from many goroutines.
type lines struct {
	mu sync.Mutex
	w  *bufio.Writer
}

// add is print, but the line may wait for others a moment: a write for each call of a busy consumer would cost as much
// as the call.
func (l *lines) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format+"\n", args...)
}

func (l *lines) print(format string, args ...any) {
	l.add(format, args...)
	l.flush()
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.Flush()
}

// flushOften writes what add left, until the process ends.
func (l *lines) flushOften() {
	for range time.Tick(10 * time.Millisecond) {
		l.flush()
	}
}

// handler answers with the name of its process.
type handler struct{ name string }

func (h handler) Who(ctx context.Context, holdMillis int32) (string, error) {
	if holdMillis > 0 {
		select {
		case <-time.After(time.Duration(holdMillis) * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return h.name, nil
}

// provide serves echo until SIGTERM and then leaves politely.
func provide(ctx context.Context, out *lines) error {
	node, err := skerry.OpenFile(ctx, os.Getenv(envConfig))
	if err != nil {
		return err
	}
	defer node.Close()
	if err := listMore(ctx, node); err != nil {
		return err
	}
	out.print("serve %d", time.Now().UnixNano())
	err = node.Serve(ctx, "echo", echo.NewEchoProcessor(handler{os.Getenv(envName)}))
	out.print("left %d", time.Now().UnixNano())
	return err
}

// listMore makes a provider list instances at ports without a listener, so that its list is long.
func listMore(ctx context.Context, node *skerry.Node) error {
	more, err := strconv.Atoi(os.Getenv(envMore))
	if err != nil {
		return err
	}
	for i := range more {
		err := node.Register(ctx, registry.Instance{
			Service: "echo", Version: "v1", Host: os.Getenv(envHost), Port: 1000 + i,
			Tags: map[string]string{"who": fmt.Sprint("more", i)}})
		if err != nil {
			return err
		}
	}
	return nil
}

// consume calls echo until SIGTERM and prints every call and every change of
// its list:
// call <start ns> <latency ns> <provider that answered, or -> <code or ok> <executed> <error text>
// list <ns> <provider> <provider>* …
func consume(ctx context.Context, out *lines) error {
	node, err := skerry.OpenFile(ctx, os.Getenv(envConfig))
	if err != nil {
		return err
	}
	defer node.Close()
	stub := skerry.Stub(node, "echo", echo.NewEchoClient)
	pause, err := time.ParseDuration(os.Getenv(envPause))
	if err != nil {
		return err
	}
	workers, err := strconv.Atoi(os.Getenv(envWorkers))
	if err != nil {
		return err
	}
	hold, err := strconv.Atoi(os.Getenv(envHold))
	if err != nil {
		return err
	}
	fill, err := strconv.Atoi(os.Getenv(envFill))
	if err != nil {
		return err
	}
	baggage := "fill=" + strings.Repeat("x", fill)
	out.print("ready %d", time.Now().UnixNano())
	var wg sync.WaitGroup
	wg.Go(func() { watch(ctx, node, out) })
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				oneCall(rpc.WithBaggage(context.Background(), baggage), stub(), int32(hold), out)
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// watch prints the list of echo after each change. The star marks instances that only the disk or a
// lost source lists.
func watch(ctx context.Context, node *skerry.Node, out *lines) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for last := "nothing"; ctx.Err() == nil; <-tick.C {
		var names []string
		for _, e := range node.Explain("echo") {
			switch name := e.Tags["who"]; {
			case fmt.Sprint(e.State) == "gone":
			case e.Stale:
				names = append(names, name+"*")
			default:
				names = append(names, name)
			}
		}
		slices.Sort(names)
		if text := strings.Join(names, " "); text != last {
			out.print("list %d %s", time.Now().UnixNano(), text)
			last = text
		}
	}
}

// oneCall does not end with the process's context. A call that was begun is finished, so a stopped
// consumer has no failed call.
func oneCall(ctx context.Context, client *echo.EchoClient, hold int32, out *lines) {
	start := time.Now()
	who, err := client.Who(ctx, hold)
	took := time.Since(start)
	if err == nil {
		out.add("call %d %d %s ok 1 -", start.UnixNano(), took, who)
		return
	}
	instance, executed := "-", rpc.MaybeExecuted
	var e *rpc.Error
	if errors.As(err, &e) {
		executed = e.Executed
		if e.Instance != "" {
			instance = e.Instance
		}
	}
	out.print("call %d %d %s %s %d %q", start.UnixNano(), took, instance, rpc.CodeOf(err), executed, err.Error())
}
