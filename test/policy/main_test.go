//go:build linux

package policy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// The environment of a process of the site.
const (
	envRole   = "SKERRY_POLICY_ROLE" // provider or caller; unset: this is the test itself
	envConfig = "SKERRY_POLICY_YAML" // path of the configuration
	envName   = "SKERRY_POLICY_NAME" // the name in answers, and of a caller
)

func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if role == "" {
		pgtest.MainParallel(m, 4)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	run := map[string]func(context.Context, *lines) error{"provider": provide, "caller": callAll}[role]
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

// wish is a line on the standard input of a process.
type wish struct {
	Service string `json:"service"`
	Host    string `json:"host,omitempty"`   // of a provider: where it lists an instance,
	Listed  int    `json:"listed,omitempty"` // at this port without a listener

	// Of a caller. Without a service it stops to call.
	Arg     string        `json:"arg,omitempty"`   // what the provider does, see auth.Verify
	Key     string        `json:"key,omitempty"`   // for balancers by hash
	URL     string        `json:"url,omitempty"`   // a gateway's; calls go there
	Drill   bool          `json:"drill,omitempty"` // requests to the gateway are those of a drill
	Workers int           `json:"workers"`
	Pause   time.Duration `json:"pause"` // of a worker between two calls
}

// wishes calls f for each line of the standard input.
func wishes(f func(wish)) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var w wish
		if err := json.Unmarshal(in.Bytes(), &w); err != nil {
			panic(err) // the test writes them
		}
		f(w)
	}
}

// auth answers with the name of its process.
type auth struct {
	name string
	out  *lines
}

// GetToken is authapi.Auth.
func (a auth) GetToken(ctx context.Context, _, _ string) (*authapi.Token, error) {
	name, err := a.Verify(ctx, "")
	return &authapi.Token{Value: name}, err
}

// Verify is authapi.Auth. The token "hold:300ms" lets it wait, "hold:300ms@b" in process b only.
func (a auth) Verify(ctx context.Context, token string) (string, error) {
	info := rpc.CallInfoFrom(ctx)
	switch {
	case tracecontext.Member(info.Baggage, tracecontext.MirrorMember) != "":
		a.out.print("copy %d %s", time.Now().UnixNano(), info.Service)
	case info.Attempt > 1:
		a.out.print("again %d %s", time.Now().UnixNano(), info.Service)
	}
	text, hold := strings.CutPrefix(token, "hold:")
	text, at, one := strings.Cut(text, "@")
	if !hold || one && at != a.name {
		return a.name, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return "", err
	}
	select {
	case <-time.After(d):
		return a.name, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// provide offers all services of its configuration until SIGTERM.
func provide(ctx context.Context, out *lines) error {
	cfg, err := config.Read(os.Getenv(envConfig))
	if err != nil {
		return err
	}
	node, err := skerry.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer node.Close()
	name := os.Getenv(envName)
	var listed sync.WaitGroup
	for _, s := range cfg.Services { // at once, as each waits for 3 s while no registry lists it
		listed.Go(func() {
			if err := node.Handle(ctx, s.Name, authapi.NewAuthProcessor(auth{name, out})); err != nil {
				out.print("fatal %v", err)
			}
		})
	}
	listed.Wait()
	go wishes(func(w wish) {
		err := node.Register(ctx, registry.Instance{Service: w.Service, Version: "v1", Host: w.Host,
			Port: w.Listed, Tags: map[string]string{"port": fmt.Sprint(w.Listed)}})
		if err != nil {
			out.print("fatal %v", err)
		}
	})
	out.print("ready %d", os.Getpid())
	<-ctx.Done()
	return node.Close()
}

// callAll calls what its input says, until SIGTERM.
func callAll(ctx context.Context, out *lines) error {
	node, err := skerry.OpenFile(ctx, os.Getenv(envConfig), skerry.WithCaller(os.Getenv(envName)))
	if err != nil {
		return err
	}
	defer node.Close()
	out.print("ready %d", os.Getpid())
	var workers sync.WaitGroup
	defer workers.Wait()
	now, stop := context.WithCancel(ctx)
	wanted := make(chan wish)
	go wishes(func(w wish) { wanted <- w })
	for {
		select {
		case <-ctx.Done():
			stop()
			return nil
		case w := <-wanted:
			stop()
			now, stop = context.WithCancel(ctx)
			if w.Service == "" {
				continue
			}
			stub := skerry.Stub(node, w.Service, authapi.NewAuthClient)
			workers.Go(func() { watch(now, node, w.Service, out) })
			for range w.Workers {
				workers.Go(func() { repeat(now, node, stub, w, out) })
			}
		}
	}
}

// repeat calls until ctx ends. A call that was begun is finished.
func repeat(ctx context.Context, node *skerry.Node, stub func() *authapi.AuthClient, w wish, out *lines) {
	for ctx.Err() == nil {
		begun := time.Now()
		var who string
		var err error
		if w.URL != "" {
			who, err = request(w)
		} else {
			who, err = ask(node, stub(), w)
		}
		code, text := "ok", "-"
		if err != nil {
			code, text = rpc.CodeOf(err).String(), err.Error()
		}
		out.print("call %s %d %d %s %q %q", w.Service, begun.UnixNano(), time.Since(begun), code, who, text)
		select {
		case <-time.After(w.Pause):
		case <-ctx.Done():
		}
	}
}

// ask is one trace with one call.
func ask(node *skerry.Node, client *authapi.AuthClient, w wish) (string, error) {
	ctx, end := node.Begin(context.Background(), "policy test")
	defer end()
	if w.Key != "" {
		ctx = rpc.WithHashKey(ctx, w.Key)
	}
	return client.Verify(ctx, w.Arg)
}

// request is one request to a gateway.
func request(w wish) (string, error) {
	r, err := http.NewRequest(http.MethodPost, w.URL, strings.NewReader(`{"token":""}`))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if w.Drill {
		r.Header.Set("X-Drill", "1")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return strings.Trim(strings.TrimSpace(string(b)), `"`), err
}

// watch prints the states of instances that a provider lists at ports without a listener, after each change.
func watch(ctx context.Context, node *skerry.Node, service string, out *lines) {
	shown := map[string]discovery.State{}
	for ctx.Err() == nil {
		for _, e := range node.Explain(service) {
			if port := e.Tags["port"]; port != "" && shown[port] != e.State {
				shown[port] = e.State
				out.print("state %s %s", port, e.State)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}
