package gateway_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// site is a cluster on the loopback interface: a gateway, and providers of the
// services web (HTTP) and auth (Thrift).
type site struct {
	t      *testing.T
	config skerry.Config
	node   *skerry.Node // the gateway's
	log    *rollout.Log // the log that the writer holds

	mu    sync.Mutex
	nodes []*skerry.Node
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, log: &rollout.Log{}, config: skerry.Config{
		Cluster: "test", Mode: config.ModeBroadcast, StateDir: "none",
		LAN:  config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: lab.Port(t)},
		Site: config.Site{Keys: []string{config.KeysNone}}, // tests write the rules themselves
		Stop: config.Stop{Grace: time.Millisecond, Drain: time.Second},
	}}
	s.node = s.open(config.Service{})
	return s
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func (s *site) open(offers config.Service) *skerry.Node {
	s.t.Helper()
	c := s.config
	c.Service = offers
	n, err := skerry.Open(s.t.Context(), c, skerry.WithLogger(quiet))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { n.Close() })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, n)
	return n
}

// web starts an HTTP server and lists it as an instance of the service web.
func (s *site) web(n *skerry.Node, version string, h http.Handler) *httptest.Server {
	s.t.Helper()
	server := httptest.NewServer(h)
	s.t.Cleanup(server.Close)
	addr := server.Listener.Addr().(*net.TCPAddr)
	in := registry.Instance{
		Service: "web", Version: version, Host: "127.0.0.1", Port: addr.Port, Protocol: registry.ProtocolHTTP,
	}
	if err := n.Register(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
	s.listed(in.Addr())
	return server
}

// listed waits until the gateway's node knows an instance of web.
func (s *site) listed(addr string) {
	s.t.Helper()
	for range 500 {
		for _, e := range s.node.Explain("web") {
			if e.Addr == addr {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%s is not listed", addr)
}

// append writes an entry and passes it to every process.
func (s *site) append(release *rollout.Release, rules map[string]rollout.Rule) rollout.Entry {
	s.t.Helper()
	e := s.write(release, rules)
	for _, n := range s.nodes {
		s.learn(n, e)
	}
	return e
}

// write writes an entry that no process knows yet.
func (s *site) write(release *rollout.Release, rules map[string]rollout.Rule,
	retire ...rollout.Retirement) rollout.Entry {
	s.t.Helper()
	e := s.log.Next("r1", rules, retire...)
	e.Cluster = "test"
	e.Session = release
	next, err := s.log.Apply(e)
	if err != nil {
		s.t.Fatal(err)
	}
	s.log = next
	return e
}

func (s *site) learn(n *skerry.Node, e rollout.Entry) {
	if err := n.Rollout().Learn(e); err != nil && !errors.Is(err, rollout.ErrGap) {
		s.t.Error(err)
	}
}

// gate is a gateway on a port of its own.
func (s *site) gate(edits ...func(*gateway.Config)) *httptest.Server {
	s.t.Helper()
	c := gateway.Config{Gateway: config.Gateway{Routes: []config.Route{{Path: "/", Service: "web"}}}, Logger: quiet}
	for _, edit := range edits {
		edit(&c)
	}
	g, err := gateway.New(s.node, c)
	if err != nil {
		s.t.Fatal(err)
	}
	server := httptest.NewServer(g)
	s.t.Cleanup(server.Close)
	return server
}

// only is a rule that leads all requests to one version.
func only(version string, services ...string) map[string]rollout.Rule {
	rules := map[string]rollout.Rule{}
	for _, name := range services {
		rules[name] = rollout.Rule{Version: version}
	}
	return rules
}

// ask makes a request and returns status and body.
func ask(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
		return 0, ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
	}
	return answer.StatusCode, string(text)
}

// says is a handler that answers with a text.
func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// guard is the service auth of a version.
type guard struct{ version string }

func (g guard) GetToken(_ context.Context, user, secret string) (*authapi.Token, error) {
	if secret == "wrong" {
		return nil, &authapi.Denied{Reason: "wrong secret"}
	}
	return &authapi.Token{Value: g.version, User: user}, nil
}

func (g guard) Verify(context.Context, string) (string, error) { return g.version, nil }
