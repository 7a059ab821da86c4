// Pump owns the pump. It opens the device when its version's turn comes, and closes it before the
// next version's turn.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/device"
	"github.com/skerry/skerry/examples/device/gen/pumpapi"
)

func main() {
	cfg := flag.String("config", "skerry.yaml", "configuration file")
	path := flag.String("device", "pump.device", "file that stands for the device")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *cfg, *path); err != nil {
		fmt.Fprintln(os.Stderr, "pump:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg, path string) error {
	told, err := config.Read(cfg)
	if err != nil {
		return err
	}
	node, err := skerry.Open(ctx, told)
	if err != nil {
		return err
	}
	defer node.Close()
	release, err := node.AcquireExclusive(ctx, "pump")
	if err != nil {
		return nil // asked to stop before its turn has come
	}
	defer release()
	d, err := device.Open(path, fmt.Sprintf("%s (process %d)", told.Service.Version, os.Getpid()))
	if err != nil {
		return err
	}
	defer d.Close()
	return node.Serve(ctx, "pump", pumpapi.NewPumpProcessor(&pump{device: d, version: told.Service.Version}))
}

// pump lets its callers move the device, one after the other.
type pump struct {
	version string

	mu     sync.Mutex
	device *device.Device
}

func (p *pump) Move(context.Context) (*pumpapi.Stroke, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total, err := p.device.Stroke()
	return &pumpapi.Stroke{Version: p.version, Total: total}, err
}
