// Portal is the entrance: it takes a request, gets a token from Auth and
// calls Proc with it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/portal"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/examples/portal/gen/portalapi"
	"github.com/skerry/skerry/examples/portal/gen/procapi"
)

func main() {
	config := flag.String("config", "skerry.yaml", "configuration file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *config); err != nil {
		fmt.Fprintln(os.Stderr, "portal:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, config string) error {
	node, err := skerry.OpenFile(ctx, config, skerry.WithClientInterceptors(portal.Note))
	if err != nil {
		return err
	}
	defer node.Close()
	return node.Serve(ctx, "portal", portalapi.NewPortalProcessor(&entrance{
		auth: skerry.Stub(node, "auth", authapi.NewAuthClient),
		proc: skerry.Stub(node, "proc", procapi.NewProcClient),
	}))
}

// entrance answers requests. It holds a maker of clients for each service it
// calls: a generated client serves one call, all share the connections.
type entrance struct {
	auth func() *authapi.AuthClient
	proc func() *procapi.ProcClient
}

func (e *entrance) Handle(ctx context.Context, request *portalapi.Request) (*portalapi.Answer, error) {
	ctx, trail := portal.WithTrail(ctx)
	token, err := e.auth().GetToken(ctx, request.User, request.Secret)
	if err != nil {
		return nil, portal.Upstream(err)
	}
	report, err := e.proc().Process(ctx, token.Value, request.Key)
	if err != nil {
		return nil, portal.Upstream(err)
	}
	return &portalapi.Answer{Text: report.Text, Hops: append(trail.Hops, report.Hops...)}, nil
}
