package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/skerry/skerry/bench/callpath"
	"github.com/skerry/skerry/bench/deploy"
	"github.com/skerry/skerry/bench/fse"
	"github.com/skerry/skerry/bench/lan"
	"github.com/skerry/skerry/bench/registry"
	"github.com/skerry/skerry/bench/release"
	"github.com/skerry/skerry/bench/visible"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const measurements = "beside, call, connections, deploy, doctor, fse, hop, lan, registry, release, streams, token, " +
	"visible"

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to measure: %s", measurements)
	}
	switch args[0] {
	case "token":
		return callpath.Token(ctx, args[1:])
	case "registry":
		return registry.Run(ctx, args[1:])
	case "visible":
		return visible.Run(ctx, args[1:])
	case "visible-root":
		return visible.Root(ctx, args[1:])
	case "release":
		return release.Run(ctx, args[1:])
	case "fse":
		return fse.Run(ctx, args[1:])
	case "lan":
		return lan.Run(ctx, args[1:])
	case "lan-node":
		return lan.Node(ctx, args[1:])
	case "beside":
		return callpath.Beside(ctx, args[1:])
	case "streams":
		return callpath.Streams(ctx, args[1:])
	case "deploy":
		return deploy.Run(ctx, args[1:])
	case "deploy-probe":
		return deploy.Probe(ctx, args[1:])
	case "doctor":
		return lan.Doctor(ctx, args[1:])
	case "doctor-node":
		return lan.DoctorNode(ctx, args[1:])
	case "call":
		return callpath.Run(ctx, args[1:])
	case "call-server":
		return callpath.Serve(ctx, args[1:])
	case "call-client":
		return callpath.Load(ctx, args[1:])
	case "hop":
		return callpath.Hop(ctx, args[1:])
	case "hop-forwarder":
		return callpath.HopForwarder(ctx, args[1:])
	case "hop-proxy":
		return callpath.HopProxy(ctx, args[1:])
	case "connections":
		return callpath.Connections(ctx, args[1:])
	case "connections-client":
		return callpath.ConnectionsClient(ctx, args[1:])
	case "-h", "-help", "--help", "help":
		fmt.Printf("bench MEASUREMENT [flags] measures one of: %s\n", measurements)
		fmt.Println("bench MEASUREMENT -h lists its flags")
		return nil
	}
	return fmt.Errorf("unknown measurement %q; there are: %s", args[0], measurements)
}
