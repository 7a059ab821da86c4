// Demo releases a service that owns a device, on this machine, in about half a minute. It releases
// pump v1 to v2 by the strategy blocking and v2 to v3 by waiting, with the skerry release command
// and under load. It then replaces v1 by v2 without a release. The device screams when it is opened
// twice.
//
// It ends with a summary of promises and measurements. The exit status is 0 only when every promise
// was kept.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	bin := flag.String("bin", "", "directory of the programs pump and skerry; default: they are built first")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	kept, err := run(ctx, *bin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	if err != nil || !kept {
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, out io.Writer) (kept bool, err error) {
	dir, err := os.MkdirTemp("", "skerry-device-")
	if err != nil {
		return false, err
	}
	if bin == "" {
		bin = dir
		build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator),
			"github.com/skerry/skerry/examples/device/cmd/pump", "github.com/skerry/skerry/cmd/skerry")
		if said, err := build.CombinedOutput(); err != nil {
			return false, fmt.Errorf("build pump and skerry: %w\n%s", err, said)
		}
	}
	kept, err = playAll(ctx, bin, dir, out)
	if err != nil || !kept {
		fmt.Fprintf(os.Stderr, "demo: what the processes had to say is in %s\n", dir)
		return kept, err
	}
	return kept, os.RemoveAll(dir)
}
