package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
)

type auth struct{ version string }

func (a auth) GetToken(context.Context, string, string) (*authapi.Token, error) {
	return &authapi.Token{Value: a.version}, nil
}

func (a auth) Verify(context.Context, string) (string, error) { return a.version, nil }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, file string) error {
	cfg, err := config.Read(file)
	if err != nil {
		return err
	}
	node, err := skerry.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer node.Close()
	return node.Serve(ctx, "auth", authapi.NewAuthProcessor(auth{cfg.Services[0].Version}))
}
