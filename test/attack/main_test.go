//go:build linux

package attack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// The environment of a process of the site.
const (
	envRole   = "SKERRY_ATTACK_ROLE" // provider or consumer; unset: this is the test itself
	envConfig = "SKERRY_ATTACK_YAML" // path of the configuration file
	envName   = "SKERRY_ATTACK_NAME" // the name in its answers
)

func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if role == "" {
		pgtest.MainParallel(m, 8)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	run := map[string]func(context.Context, *lines) error{"provider": provide, "consumer": consume, "web": web}[role]
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

// auth answers with the name of its process, after the delay in the token.
type auth struct{ name string }

// GetToken is authapi.Auth.
func (a auth) GetToken(context.Context, string, string) (*authapi.Token, error) {
	return &authapi.Token{Value: a.name}, nil
}

// Verify is authapi.Auth.
func (a auth) Verify(ctx context.Context, token string) (string, error) {
	if hold, err := time.ParseDuration(token); err == nil {
		select {
		case <-time.After(hold):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return a.name, nil
}

// provide serves auth until SIGTERM.
func provide(ctx context.Context, out *lines) error {
	node, err := skerry.OpenFile(ctx, os.Getenv(envConfig))
	if err != nil {
		return err
	}
	defer node.Close()
	out.print("ready")
	return node.Serve(ctx, "auth", authapi.NewAuthProcessor(auth{os.Getenv(envName)}))
}

// web lists an HTTP server as an instance of web, until SIGTERM. It answers with the request and
// its header fields.
func web(ctx context.Context, out *lines) error {
	node, err := skerry.OpenFile(ctx, os.Getenv(envConfig))
	if err != nil {
		return err
	}
	defer node.Close()
	server := &http.Server{Addr: fmt.Sprintf(":%d", webPort), ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "asked %q from %q upgrade %q", r.RequestURI, r.Header["X-Real-Ip"], r.Header["Upgrade"])
		})}
	go func() { <-ctx.Done(); _ = server.Close() }()
	in := registry.Instance{Service: "web", Version: "v1", Host: "10.77.0.1", Port: webPort,
		Protocol: registry.ProtocolHTTP}
	if err := node.Register(ctx, in); err != nil {
		return err
	}
	out.print("ready")
	_ = server.ListenAndServe() // until it is closed
	return nil
}

const callPause = 15 * time.Millisecond // of each of the consumer's callers

// consume serves desk, and calls auth until SIGTERM. It prints every call and
// every change of its list:
// call <provider that answered, or -> <code or ok> <error text>
// list <provider> <provider> …
func consume(ctx context.Context, out *lines) error {
	node, err := skerry.OpenFile(ctx, os.Getenv(envConfig))
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Handle(ctx, "desk", authapi.NewAuthProcessor(auth{os.Getenv(envName)})); err != nil {
		return err
	}
	stub := skerry.Stub(node, "auth", authapi.NewAuthClient)
	out.print("ready")
	var wg sync.WaitGroup
	wg.Go(func() { watch(ctx, node, out) })
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				call(node, stub(), out)
				time.Sleep(callPause)
			}
		})
	}
	wg.Wait()
	return nil
}

// call is one trace with one call, which outlives the process's context. A consumer that is stopped
// thus has no failed call.
func call(node *skerry.Node, client *authapi.AuthClient, out *lines) {
	ctx, end := node.Begin(context.Background(), "attack test")
	defer end()
	who, err := client.Verify(ctx, "")
	if err != nil {
		out.print("call - %s %q", rpc.CodeOf(err), err.Error())
		return
	}
	out.print("call %s ok", who)
}

// watch prints the list of auth after each change.
func watch(ctx context.Context, node *skerry.Node, out *lines) {
	for last := "nothing"; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		var names []string
		for _, e := range node.Explain("auth") {
			if fmt.Sprint(e.State) != "gone" {
				names = append(names, e.Tags["who"])
			}
		}
		slices.Sort(names)
		if text := strings.Join(names, " "); text != last {
			out.print("list %s", text)
			last = text
		}
	}
}
