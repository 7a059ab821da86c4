package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/historian"
	"github.com/skerry/skerry/examples/historian/api"
	"github.com/skerry/skerry/examples/historian/apistream"
	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/internal/testsite"
	"github.com/skerry/skerry/registry"
)

// pageSite is a site with skerry proxy, and the Python that the programs beside it run in.
type pageSite struct {
	*site.Site
	t      *testing.T
	python string
}

func newPageSite(t *testing.T) *pageSite {
	t.Helper()
	bin, err := testsite.Programs("./cmd/skerry")
	if err != nil {
		t.Fatal(err)
	}
	python, err := filepath.Abs("../../../../.build/venv/bin/python")
	if err == nil {
		_, err = os.Stat(python)
	}
	if err != nil {
		t.Fatalf("%v: run scripts/setup", err)
	}
	s, err := site.New(bin, t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &pageSite{s, t, python}
}

// run starts a program with its configuration as its last argument.
func (s *pageSite) run(name, lines, program string, args ...string) *site.Process {
	s.t.Helper()
	if lines != "" {
		config, err := s.Configure(name, lines)
		if err != nil {
			s.t.Fatal(err)
		}
		args = append(args, config)
	}
	p, err := s.Run(name, program, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// node opens a node in the test.
func (s *pageSite) node(name, lines string) *skerry.Node {
	s.t.Helper()
	config, err := s.Configure(name, lines)
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := skerry.OpenFile(s.t.Context(), config, skerry.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { n.Close() })
	return n
}

// follow subscribes to a historian.
func follow(ctx context.Context, n *skerry.Node, since int64) *skerry.Subscription[*api.Point] {
	return skerry.Follow(ctx, n, "historian", "watch", &api.HistorianWatchArgs{R: &api.Range{Since: since}},
		api.NewHistorianWatchResult, apistream.HistorianWatchResume, apistream.HistorianWatchPage)
}

// TestFollowPythonByPages: a subscription in Go gets every value of a program in Python beside skerry proxy, that has
// pages alone, once and in order, also when it is killed and starts again, and of one that is announced in its place.
func TestFollowPythonByPages(t *testing.T) {
	s := newPageSite(t)
	addr, err := site.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	provide := func(name string) *site.Process {
		return s.run(name, "", s.python, "../../python/provider.py", "--port", port)
	}
	provider := provide("tide")
	s.run("proxy", fmt.Sprintf("proxy:\n  programs:\n    tide:\n      listen: unix:%s\n      provides:\n"+
		"        - {service: historian, version: v1, addr: %q, check: tcp}\n",
		filepath.Join(t.TempDir(), "tide.sock"), addr),
		s.Program("skerry"), "proxy", "-c")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	sub := follow(ctx, s.node("consumer", "consumers: {historian: {timeout: 5s}}\n"), time.Now().UnixMilli())
	var last int64
	for n := range 60 {
		p, err := sub.Recv(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if p.Tag != "tide" || last != 0 && p.T != last+100 {
			t.Fatalf("the value of %s at %d follows that at %d", p.Tag, p.T, last)
		}
		last = p.T
		if n == 20 {
			provider.Kill()
			<-provider.Done()
			provide("tide-again")
		}
	}
	at, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	announcer := s.node("announcer", "")
	if err := announcer.Register(ctx, registry.Instance{Service: "tides", Version: "v1", Host: "127.0.0.1", Port: at,
		Protocol: registry.ProtocolFramedBinary}); err != nil {
		t.Fatal(err)
	}
	args := &api.HistorianWatchArgs{R: &api.Range{Since: last}}
	tides := skerry.Follow(ctx, s.node("other", ""), "tides", "watch", args,
		api.NewHistorianWatchResult, apistream.HistorianWatchResume, apistream.HistorianWatchPage)
	for range 5 {
		if p, err := tides.Recv(ctx); err != nil || p.T != last+100 {
			t.Fatalf("an announced provider: %v, %v behind %d", p, err, last)
		}
		last += 100
	}
	gone := follow(ctx, s.node("late", ""), 1)
	if _, err := gone.Recv(ctx); err == nil || !strings.Contains(fmt.Sprint(err), "kept for an hour") {
		t.Errorf("a subscription from a time that is not kept: %v", err)
	}
}

// TestPagesInPythonBesideAStream: a program in Python gets the values of a historian in Go by pages through the socket
// of skerry proxy, and a subscription in Go the same ones by a stream.
func TestPagesInPythonBesideAStream(t *testing.T) {
	const values = 60
	s := newPageSite(t)
	socket := filepath.Join(t.TempDir(), "h.sock")
	keeper := s.node("historian", "service: {name: historian, version: v1, listen: \"127.0.0.1:0\"}\n")
	if err := keeper.Handle(t.Context(), "historian",
		apistream.NewHistorianProcessor(historian.NewKeeper(1000))); err != nil {
		t.Fatal(err)
	}
	s.run("proxy", fmt.Sprintf("consumers: {historian: {timeout: 20s}}\nproxy:\n  programs:\n    reader:\n"+
		"      listen: unix:%s.all\n      ports: {historian: \"unix:%s\"}\n", socket, socket),
		s.Program("skerry"), "proxy", "-c")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	client := exec.CommandContext(ctx, s.python, "../../python/client.py", "--addr", "unix:"+socket, "watch",
		"--since", "1", "--count", fmt.Sprint(values))
	var said, complaints strings.Builder
	client.Stdout, client.Stderr = &said, &complaints
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	node := s.node("sensors", "")
	uploaded := make(chan error, 1)
	go func() {
		up, err := skerry.Stub(node, "historian", apistream.NewHistorianClient)().Upload(ctx, "level")
		for n := int64(1); err == nil && n <= values; n++ {
			time.Sleep(time.Millisecond) // several pages
			err = up.Send(ctx, &api.Point{T: 10 * n, Value: float64(n)})
		}
		if err == nil {
			_, err = up.End(ctx)
		}
		uploaded <- err
	}()
	sub := follow(ctx, node, 1)
	for n := int64(1); n <= values; n++ {
		if p, err := sub.Recv(ctx); err != nil || p.T != 10*n {
			t.Fatalf("value %d by the stream: %v, %v", n, p, err)
		}
	}
	sub.Close()
	if err := <-uploaded; err != nil {
		t.Error(err)
	}
	if err := client.Wait(); err != nil {
		t.Fatalf("client.py: %v\n%s%s", err, &said, &complaints)
	}
	for n, line := range strings.Split(strings.TrimSpace(said.String()), "\n") {
		if want := fmt.Sprintf("%d level %d.00", 10*(n+1), n+1); line != want {
			t.Fatalf("client.py prints %q, not %q", line, want)
		}
	}
}
