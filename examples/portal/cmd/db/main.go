// DB keeps the records of the example, in memory.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/portal/gen/dbapi"
)

func main() {
	config := flag.String("config", "skerry.yaml", "configuration file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *config); err != nil {
		fmt.Fprintln(os.Stderr, "db:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, config string) error {
	node, err := skerry.OpenFile(ctx, config)
	if err != nil {
		return err
	}
	defer node.Close()
	return node.Serve(ctx, "db", dbapi.NewDBProcessor(records{
		"pump-1":  "pressure 4.1 bar, valve open",
		"pump-2":  "pressure 0.0 bar, valve closed",
		"hangar":  "doors shut, 18 °C",
		"antenna": "azimuth 112.5°, tracking",
	}))
}

type records map[string]string

func (r records) Read(ctx context.Context, key string) (*dbapi.Record, error) {
	text, ok := r[key]
	if !ok {
		return nil, &dbapi.NotFound{Key: key}
	}
	return &dbapi.Record{Key: key, Text: text}, nil
}
