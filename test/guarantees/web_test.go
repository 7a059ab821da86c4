//go:build linux

package guarantees

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/registry"
)

// provideWeb serves HTTP as the service web until SIGTERM. It leaves the lists first, and closes
// its port a second later.
func provideWeb(ctx context.Context, out *lines) error {
	node, err := skerry.OpenFile(context.WithoutCancel(ctx), os.Getenv(envConfig))
	if err != nil {
		return err
	}
	defer node.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	name := os.Getenv(envName)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(20 * time.Millisecond)
		fmt.Fprint(w, name)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	defer serving.Wait()
	defer server.Close()
	port := l.Addr().(*net.TCPAddr).Port
	in := registry.Instance{Service: "web", Version: "v1", Host: "127.0.0.1", Port: port,
		Protocol: registry.ProtocolHTTP}
	if err := node.Register(ctx, in); err != nil {
		return err
	}
	out.print("serve %d", time.Now().UnixNano())
	<-ctx.Done()
	if err := node.Close(); err != nil {
		return err
	}
	time.Sleep(time.Second) // until every gateway knows it
	err = server.Shutdown(context.Background())
	out.print("left %d", time.Now().UnixNano())
	return err
}

// runEdge is a gateway with users that send requests all the time: some by GET, some by POST of a
// small and some of a large body, some for a Thrift service.
func runEdge(ctx context.Context, out *lines) error {
	node, err := skerry.OpenFile(ctx, os.Getenv(envConfig))
	if err != nil {
		return err
	}
	defer node.Close()
	edge, err := gateway.New(node, gateway.Config{Gateway: config.Gateway{Routes: []config.Route{
		{Path: "/", Service: "web", Timeout: 15 * time.Second},
		{Path: "/echo", Service: "echo", Thrift: "echo.thrift", Timeout: 15 * time.Second},
	}}})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var users sync.WaitGroup
	defer users.Wait()
	out.print("ready %d", time.Now().UnixNano())
	for _, ask := range []struct{ method, path, kind, body string }{
		{http.MethodGet, "/x", "", ""}, {http.MethodGet, "/y", "", ""}, {http.MethodPost, "/x", "", "small"},
		{http.MethodPost, "/x", "", strings.Repeat("large", 40_000)},
		{http.MethodPost, "/echo/who", "application/json", `{"holdMillis":20}`},
	} {
		users.Go(func() {
			for ctx.Err() == nil {
				askEdge("http://"+l.Addr().String()+ask.path, ask.method, ask.kind, ask.body, out)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return edge.Serve(ctx, l)
}

// askEdge makes one request, and writes its outcome to the journal as a call.
func askEdge(url, method, kind, body string, out *lines) {
	begin := time.Now()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", kind)
	answer, err := http.DefaultClient.Do(r)
	who, code, text := "-", "ok", "-"
	if err == nil {
		var b []byte
		b, err = io.ReadAll(answer.Body)
		answer.Body.Close()
		who = strings.Trim(strings.TrimSpace(string(b)), `"`)
		if answer.StatusCode != http.StatusOK {
			who, code, text = method, fmt.Sprint(answer.StatusCode), string(b)
		}
	}
	if err != nil {
		who, code, text = method, "error", err.Error()
	}
	out.print("call %d %d %s %s 0 %q", begin.UnixNano(), time.Since(begin), who, code, text)
}

// TestSingleInstanceRestartBehindTheGateway: an HTTP service and a Thrift service of one instance
// each are stopped politely and restarted, and killed and restarted, under load of a gateway's
// users. Requests wait for the next instance.
func TestSingleInstanceRestartBehindTheGateway(t *testing.T) {
	t.Parallel()
	inEveryMode(t, func(t *testing.T, s *site) {
		web, kit := s.start("web0", "web", "", how{}, "serve"), s.provider("echo0", how{})
		s.start("edge", "edge", "", how{}, "ready")
		s.warm("web0", "echo0")
		next := 0
		restart := func(gap time.Duration) {
			next++
			time.Sleep(gap)
			web = s.start(fmt.Sprint("web", next), "web", "", how{}, "serve")
			kit = s.provider(fmt.Sprint("echo", next), how{})
			s.warm(fmt.Sprint("web", next), fmt.Sprint("echo", next))
			time.Sleep(300 * time.Millisecond)
		}
		begin := time.Now()
		for _, gap := range []time.Duration{0, 2 * time.Second} {
			web.stop()
			kit.stop()
			web.wait(40 * time.Second)
			kit.wait(40 * time.Second)
			restart(gap)
		}
		polite := time.Now()
		noFailures(t, s.journal, begin, polite)
		t.Logf("the longest request of a polite restart took %v", longest(s.journal, "", begin, polite))
		for _, gap := range []time.Duration{0, 2 * time.Second} {
			web.kill()
			kit.kill()
			web.wait(10 * time.Second)
			kit.wait(10 * time.Second)
			restart(gap)
		}
		all := s.journal.failures(polite, time.Now())
		failed := slices.DeleteFunc(slices.Clone(all), func(r record) bool {
			return r.who == http.MethodPost && r.code == "502" // it was in flight
		})
		for _, r := range failed[:min(5, len(failed))] {
			t.Errorf("a request failed %v after the polite restarts: %s %s %s", r.start.Sub(polite), r.who,
				r.code, r.text)
		}
		if in := len(all) - len(failed); in > 2*3 {
			t.Errorf("%d requests were lost with two kills, at most the 6 POSTs in flight may be", in)
		}
		t.Logf("killed twice: %d requests in flight were lost, the longest took %v",
			len(all)-len(failed), longest(s.journal, "", polite, time.Now()))
	})
}
