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
	"time"
)

// freeAddr is a TCP address that nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A provider that knows nothing of skerry is announced by one process, and
// served to users by another, until that is told to stop.
func TestGatewayServesWhatIsAnnounced(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.URL.Path) }))
	defer web.Close()
	addr := freeAddr(t)
	config := site(t, "state_dir: none\ngateway:\n  routes: [{path: /, service: web}]\n  listen: \""+addr+"\"\n")
	program(t, "announce", "--config", config, "--service", "web", "--version", "v1", "--addr", web.Listener.Addr().String(), "--protocol", "http", "--check", "http:/")
	edge, _ := program(t, "gateway", "--config", config)
	var status int
	var text []byte
	for begun := time.Now(); status != http.StatusOK && time.Since(begun) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		answer, err := http.Get("http://" + addr + "/x")
		if err != nil {
			continue
		}
		text, _ = io.ReadAll(answer.Body)
		answer.Body.Close()
		status = answer.StatusCode
	}
	if status != http.StatusOK || string(text) != "hello /x" {
		t.Errorf("%d %s", status, text)
	}
	edge.Process.Signal(syscall.SIGTERM)
	if err := edge.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func TestGatewayNeedsRoutes(t *testing.T) {
	for text, want := range map[string]string{
		"": "no routes",
		"gateway: {routes: [{path: /, service: web, thrift: /nowhere.thrift}]}": "nowhere.thrift",
		"gateway: {routes: [{path: x, service: web}]}":                          "gateway.routes[0].path",
		"gateway: {listen: 80, routes: [{path: /, service: a}]}":                "no host:port",
		"gateway: {tls: {cert: x}, routes: [{path: /, service: a}]}":            "go together",
	} {
		code, _, errs := cli(t, "", "gateway", "--config", site(t, "state_dir: none\n"+text+"\n"), "--listen", "127.0.0.1:0")
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: %d %s", text, code, errs)
		}
	}
}
