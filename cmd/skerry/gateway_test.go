package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// freeAddr returns a TCP address without a listener.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// One process announces a provider that does not use skerry. Another process serves it
// to users until it is told to stop.
func TestGatewayServesWhatIsAnnounced(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", r.URL.Path)
	}))
	defer web.Close()
	addr := freeAddr(t)
	config := site(t, "state_dir: none\ngateway:\n  routes: [{path: /, service: web}]\n  listen: \""+addr+"\"\n")
	program(t, "announce", "--config", config, "--service", "web", "--version", "v1",
		"--addr", web.Listener.Addr().String(), "--protocol", "http", "--check", "http:/")
	edge, _ := program(t, "gateway", "--config", config)
	var status int
	var text []byte
	eventually(t, "the gateway serves it", func() bool {
		answer, err := http.Get("http://" + addr + "/x")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, _ = io.ReadAll(answer.Body)
		status = answer.StatusCode
		return status == http.StatusOK
	})
	if status != http.StatusOK || string(text) != "hello /x" {
		t.Errorf("%d %s", status, text)
	}
	edge.Process.Signal(syscall.SIGTERM)
	if err := edge.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// The gateway refuses a file with the errors of `skerry config check`, in the same
// words.
func TestGatewayRefusesWhatConfigCheckFinds(t *testing.T) {
	for name, section := range map[string]string{
		"a route":         `{routes: [{path: "/api//{x}", host: "www:80", service: web}]}`,
		"two of one path": `{routes: [{path: /a, service: web}, {path: /a/, service: web}]}`,
		"spelt otherwise": `{routes: [{path: /a, service: web}, {path: /%61, service: web}]}`,
		"no .thrift file": `{routes: [{path: /a, service: web, thrift: none.thrift}]}`,
		"no certificate":  `{routes: [{path: /a, service: web}], tls: {cert: none.pem, key: none.key}}`,
		"no such key":     `{routes: [{path: /a, service: web, pfad: /b}]}`,
		"no path":         `{routes: [{path: a, service: web}], health: healthy}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := writeConfig(t, "cluster: edge\nmode: broadcast\nstate_dir: none\ngateway: "+section+"\n")
			code, found, errs := cli(t, "", "config", "check", file)
			if code != exitProblem || found == "" {
				t.Fatalf("config check: exit code %d\n%s%s", code, found, errs)
			}
			code, _, refused := cli(t, "", "gateway", "-c", file, "--listen", "127.0.0.1:0")
			if want := "skerry: " + found; code != exitUsage || refused != want {
				t.Errorf("gateway: exit code %d\n%swant\n%s", code, refused, want)
			}
		})
	}
}

func TestGatewayNeedsRoutes(t *testing.T) {
	for _, c := range [][2]string{
		{"", "no routes"},
		{"gateway: {routes: [{path: /, service: web, thrift: /nowhere.thrift}]}", "nowhere.thrift"},
		{"gateway: {routes: [{path: x, service: web}]}", "gateway.routes[0].path"},
		{"gateway: {listen: 80, routes: [{path: /, service: a}]}", "no host:port"},
		{"gateway: {trusted_proxies: [10.0.0.0/33], routes: [{path: /, service: a}]}", "gateway.trusted_proxies"},
		{"gateway: {max_connections: 3, routes: [{path: /, service: a}]}", "gateway.max_connections"},
		{"gateway: {body_idle: 1ms, routes: [{path: /, service: a}]}", "gateway.body_idle"},
		{"gateway: {routes: [{path: /, service: a, encoded_slash: maybe}]}", "gateway.routes[0].encoded_slash"},
		{"gateway: {routes: [{path: /a;b, service: a}]}", "semicolon"},
		{"gateway: {routes: [{path: /, host: A.b, service: a}, {path: /, host: a.B., service: a}]}",
			"gateway.routes[0]"},
		{"gateway: {tls: {cert: x}, routes: [{path: /, service: a}]}", "go together"},
	} {
		text, want := c[0], c[1]
		code, _, errs := cli(t, "", "gateway", "--config", site(t, "state_dir: none\n"+text+"\n"),
			"--listen", "127.0.0.1:0")
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: %d %s", text, code, errs)
		}
	}
}

// A gateway without an earlier run serves its very first request by the rules of the
// site. That includes services that can't check the rules.
func TestGatewayKnowsTheRulesFirst(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	config := site(t, "state_dir: none\ngateway:\n  routes: [{path: /, service: web}]\n  listen: \""+addr+"\"\n")
	n := offerClock(t, config)
	for _, version := range []string{"v1", "v2"} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, version)
		}))
		defer web.Close()
		at := web.Listener.Addr().(*net.TCPAddr)
		err := n.Register(t.Context(), registry.Instance{
			Service: "web", Version: version, Host: "127.0.0.1", Port: at.Port, Protocol: "http",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rule := n.Rollout().Log().Next("r1", map[string]rollout.Rule{"web": {Version: "v1"}})
	if err := n.Rollout().Learn(proven(t, rule)); err != nil {
		t.Fatal(err)
	}
	rule = n.Rollout().Log().Next("r1", map[string]rollout.Rule{"web": {Version: "v2"}})
	if err := n.Rollout().Learn(proven(t, rule)); err != nil {
		t.Fatal(err)
	}
	program(t, "gateway", "--config", config)
	eventually(t, "the gateway listens", func() bool {
		answer, err := http.Get("http://" + addr + "/skerry-health")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		if text, _ := io.ReadAll(answer.Body); string(text) != "ok, rules 2\n" {
			t.Errorf("health: %d %s", answer.StatusCode, text)
		}
		return true
	})
	met := map[string]int{}
	for range 20 {
		answer, err := http.Get("http://" + addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		met[string(text)]++
	}
	if met["v2"] != 20 {
		t.Errorf("the first requests met %v", met)
	}
}
