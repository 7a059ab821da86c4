// Demo measures what skerry promises, on this machine, in a bit more than a minute and without a
// database. It starts the four services of the portal as separate processes that find each other by
// broadcast, and sends them requests. It kills one of two Auth processes, starts another, stops one
// politely, and measures the effect on callers. It then releases new versions of two services,
// first by a plain restart and then by skerry release.
//
// It ends with a summary of promises and measurements. The exit status is 0
// only when every promise was kept.
//
// scenes.go lists the scenes, each with its action and its promises.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/skerry/skerry/examples/internal/site"
)

func main() {
	bin := flag.String("bin", "", "directory of the four programs; default: where this one is")
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

func run(ctx context.Context, bin string, out *os.File) (kept bool, err error) {
	if bin == "" {
		self, err := os.Executable()
		if err != nil {
			return false, err
		}
		bin = filepath.Dir(self)
	}
	dir, err := os.MkdirTemp("", "skerry-demo-")
	if err != nil {
		return false, err
	}
	kept, err = playAll(ctx, bin, dir, newScreen(out))
	if err != nil || !kept {
		fmt.Fprintf(os.Stderr, "demo: what the processes had to say is in %s\n", dir)
		return kept, err
	}
	return kept, os.RemoveAll(dir)
}

// playAll plays every act at a site of its own, and prints promises and measurements. It reports
// whether every promise was kept.
func playAll(ctx context.Context, bin, dir string, out *screen) (kept bool, err error) {
	var results []result
	for i, a := range acts {
		own := filepath.Join(dir, fmt.Sprintf("act-%d", i+1))
		if err := os.Mkdir(own, 0o700); err != nil {
			return false, err
		}
		s, err := site.New(bin, own, "")
		if err != nil {
			return false, err
		}
		played, err := perform(ctx, s, out, a)
		s.Close()
		if err != nil {
			return false, err
		}
		results = append(results, played...)
	}
	return out.summary(results), nil
}
