// Embedded is a service of the application with skerry in it. The linker sets its name and version.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/bench/deploy/stepapi"
	"github.com/skerry/skerry/bench/deploy/steps"
	"github.com/skerry/skerry/rpc"
)

var service, version string

func main() {
	path := flag.String("config", "/etc/site/"+service+".yaml", "configuration file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *path); err != nil {
		fmt.Fprintln(os.Stderr, service+":", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path string) error {
	node, err := skerry.OpenFile(ctx, path)
	if err != nil {
		return err
	}
	defer node.Close()
	clients := map[string]thrift.TClient{}
	for _, name := range steps.Callees[service] {
		clients[name] = node.Client(name, func(o *rpc.ServiceOptions) { o.Idempotent = []string{"run"} })
	}
	handler, err := steps.New(service, version, func(ctx context.Context, service, request string) (string, error) {
		return stepapi.NewStepClient(clients[service]).Run(ctx, request)
	})
	if err != nil {
		return err
	}
	return node.Serve(ctx, service, stepapi.NewStepProcessor(handler))
}
