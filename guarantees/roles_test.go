package guarantees

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/guarantees/echo"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/rpc"
)

// The environment of a process in a role.
const (
	envRole    = "SKERRY_ROLE"    // provider or consumer; unset: this is the test itself
	envConfig  = "SKERRY_YAML"    // path of the configuration file
	envName    = "SKERRY_NAME"    // what a provider answers with
	envWorkers = "SKERRY_WORKERS" // a consumer's concurrent callers
	envPause   = "SKERRY_PAUSE"   // a caller's pause between calls
	envHold    = "SKERRY_HOLD"    // milliseconds for which the provider holds a call
)

func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if role == "" {
		pgtest.Main(m)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	run := map[string]func(context.Context, *lines) error{"provider": provide, "consumer": consume}[role]
	out := &lines{w: bufio.NewWriter(os.Stdout)}
	if err := run(ctx, out); err != nil {
		out.print("fatal %v", err)
		os.Exit(1)
	}
}

// lines writes whole lines to stdout from many goroutines.
type lines struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func (l *lines) print(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format+"\n", args...)
	l.w.Flush()
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
	node, err := skerry.Open(ctx, os.Getenv(envConfig))
	if err != nil {
		return err
	}
	defer node.Close()
	out.print("serve %d", time.Now().UnixNano())
	err = node.Serve(ctx, "echo", echo.NewEchoProcessor(handler{os.Getenv(envName)}))
	out.print("left %d", time.Now().UnixNano())
	return err
}

// consume calls echo until SIGTERM and prints every call:
// call <start ns> <latency ns> <who answered, or -> <code or ok> <executed> <error text>
func consume(ctx context.Context, out *lines) error {
	node, err := skerry.Open(ctx, os.Getenv(envConfig))
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
	out.print("ready %d", time.Now().UnixNano())
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				oneCall(stub(), int32(hold), out)
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

// oneCall does not end with the process's context: a call that was begun is
// finished, so that a stopped consumer is never counted as a failed call.
func oneCall(client *echo.EchoClient, hold int32, out *lines) {
	start := time.Now()
	who, err := client.Who(context.Background(), hold)
	took := time.Since(start)
	if err == nil {
		out.print("call %d %d %s ok 1 -", start.UnixNano(), took, who)
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
