// Proc does the work: it lets Auth verify the token and reads DB.
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
	"github.com/skerry/skerry/examples/portal/gen/dbapi"
	"github.com/skerry/skerry/examples/portal/gen/procapi"
)

func main() {
	config := flag.String("config", "skerry.yaml", "configuration file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *config); err != nil {
		fmt.Fprintln(os.Stderr, "proc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, config string) error {
	node, err := skerry.OpenFile(ctx, config, skerry.WithClientInterceptors(portal.Note))
	if err != nil {
		return err
	}
	defer node.Close()
	return node.Serve(ctx, "proc", procapi.NewProcProcessor(&worker{
		auth: skerry.Stub(node, "auth", authapi.NewAuthClient),
		db:   skerry.Stub(node, "db", dbapi.NewDBClient),
	}))
}

type worker struct {
	auth func() *authapi.AuthClient
	db   func() *dbapi.DBClient
}

func (w *worker) Process(ctx context.Context, token, key string) (*procapi.Report, error) {
	ctx, trail := portal.WithTrail(ctx)
	user, err := w.auth().Verify(ctx, token)
	if err != nil {
		return nil, portal.Upstream(err)
	}
	record, err := w.db().Read(ctx, key)
	if err != nil {
		return nil, portal.Upstream(err)
	}
	return &procapi.Report{Text: fmt.Sprintf("for %s: %s", user, record.Text), Hops: trail.Hops}, nil
}
