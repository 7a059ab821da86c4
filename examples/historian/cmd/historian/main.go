// Historian serves the service historian, and beside it a page that shows it. The page is for users of a gateway.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/historian"
	"github.com/skerry/skerry/examples/historian/apistream"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/registry"
)

const (
	version = "v1"
	kept    = 100_000 // values
)

func main() {
	config := flag.String("config", "skerry.yaml", "configuration file")
	page := flag.String("page", "127.0.0.1:0", "`HOST:PORT` of the page, where the gateway reaches it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *config, *page); err != nil {
		fmt.Fprintln(os.Stderr, "historian:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, config, page string) (err error) {
	l, err := net.Listen("tcp", page)
	if err != nil {
		return err
	}
	defer l.Close()
	node, err := skerry.OpenFile(ctx, config)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: gateway.Join(node, "historian-page", version, historian.Page)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() { // the node closes first: it tells the gateways that the page is going
		err = errors.Join(err, node.Close(), server.Close())
		if end := <-served; end != http.ErrServerClosed {
			err = errors.Join(err, end)
		}
	}()
	at := l.Addr().(*net.TCPAddr)
	err = node.Register(ctx, registry.Instance{
		Service: "historian-page", Version: version, Protocol: registry.ProtocolHTTP,
		Host: at.IP.String(), Port: at.Port,
	})
	if err != nil {
		return err
	}
	return node.Serve(ctx, "historian", apistream.NewHistorianProcessor(historian.NewKeeper(kept)))
}
