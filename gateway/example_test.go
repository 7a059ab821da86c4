package gateway_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/registry"
)

// A gateway in front of a service of two versions. The rules name the first version; the service
// takes part in releases by Join.
func Example() {
	ctx := context.Background()
	node, err := skerry.Open(ctx, skerry.Config{
		Cluster:  "example-gateway",
		Mode:     config.ModeBroadcast,
		LAN:      config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: 7761},
		Site:     config.Site{Keys: []string{config.KeysNone}}, // a laboratory: no operator signs the rules below
		StateDir: "none",
		Log:      config.Log{Level: "error"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	for _, version := range []string{"v1", "v2"} {
		pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "hello from", version)
		})
		server := httptest.NewServer(gateway.Join(node, "web", version, pages))
		defer server.Close()
		addr := server.Listener.Addr().(*net.TCPAddr)
		err := node.Register(ctx, registry.Instance{
			Service: "web", Version: version, Host: "127.0.0.1", Port: addr.Port, Protocol: registry.ProtocolHTTP,
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	agent := node.Rollout()
	if err := agent.Learn(agent.Log().Next("first release", only("v1", "web"))); err != nil {
		log.Fatal(err)
	}

	edge, err := gateway.New(node, gateway.Config{
		Gateway: config.Gateway{
			Routes:       []config.Route{{Path: "/", Service: "web", Timeout: 5 * time.Second}},
			StickyCookie: "session",
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	users := httptest.NewServer(edge)
	defer users.Close()
	answer, err := http.Get(users.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	fmt.Print(string(text))
	// Output: hello from v1
}
