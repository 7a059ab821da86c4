package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
)

// While the site's rules are unknown, the gateway reports that it is not ready, and requests wait
// for them.
func TestRequestsWaitForTheRules(t *testing.T) {
	s := newSite(t)
	provider := s.open(config.Service{})
	s.web(provider, "v1", says("v1"))
	s.web(provider, "v2", says("v2"))
	edge := s.gate(func(c *gateway.Config) { c.Health = "/healthy" })
	s.node.Rollout().Await(t.Context())
	release := s.node.Rollout().BeginBootstrap()
	if status, text := ask(t, http.MethodGet, edge.URL+"/healthy", ""); status != http.StatusServiceUnavailable {
		t.Errorf("at its start: %d %s", status, text)
	}
	time.AfterFunc(50*time.Millisecond, func() {
		s.append(nil, only("v1", "web"))
		s.append(nil, only("v2", "web"))
		release()
	})
	if status, text := ask(t, http.MethodGet, edge.URL+"/", ""); text != "v2" {
		t.Errorf("the first request: %d %s", status, text)
	}
	if status, text := ask(t, http.MethodGet, edge.URL+"/healthy", ""); status != http.StatusOK ||
		!strings.HasPrefix(text, "ok, rules 2") {
		t.Errorf("then: %d %s", status, text)
	}
}
