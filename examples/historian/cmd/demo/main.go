// Demo runs the example of streams on this machine, without a database, until ctrl-C: the historian, two sensors that
// upload values, a gateway with the page, and a client that follows the values and shows them here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
)

// startLimit bounds the wait for the page, on a busy machine.
const startLimit = 30 * time.Second

func main() {
	bin := flag.String("bin", "", "directory of historian, sensors and skerry; default: they are built first")
	idl := flag.String("thrift", "examples/historian/historian.thrift", "the interface, for the gateway")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *idl, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, idl string, out io.Writer) error {
	dir, err := os.MkdirTemp("", "skerry-historian-")
	if err != nil {
		return err
	}
	if err := play(ctx, bin, idl, dir, out); err != nil {
		return fmt.Errorf("%w; what the processes had to say is in %s", err, dir)
	}
	return os.RemoveAll(dir)
}

func play(ctx context.Context, bin, idl, dir string, out io.Writer) error {
	idl, err := filepath.Abs(idl)
	if err != nil {
		return err
	}
	if bin == "" {
		bin = dir
		build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator),
			"github.com/skerry/skerry/examples/historian/cmd/historian",
			"github.com/skerry/skerry/examples/historian/cmd/sensors", "github.com/skerry/skerry/cmd/skerry")
		if said, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the programs: %w\n%s", err, said)
		}
	}
	s, err := site.New(bin, dir, "")
	if err != nil {
		return err
	}
	defer s.Close()
	addr, err := site.FreeAddr()
	if err != nil {
		return err
	}
	web, err := site.FreeAddr()
	if err != nil {
		return err
	}
	start := func(name, lines, program string, args ...string) error {
		config, err := s.Configure(name, lines)
		if err != nil {
			return err
		}
		_, err = s.Run(name, s.Program(program), append(args, config)...)
		return err
	}
	service := fmt.Sprintf("service: {name: historian, version: v1, listen: %q, thrift: %q}\n", addr, idl)
	err = start("historian", service, "historian", "-config")
	if err != nil {
		return err
	}
	err = start("gateway", fmt.Sprintf("gateway:\n  listen: %q\n  routes:\n    - {path: /, service: historian-page}\n"+
		"    - {path: /historian, service: historian, thrift: %q}\n", web, idl), "skerry", "gateway", "-c")
	if err != nil {
		return err
	}
	page := "http://" + web + "/"
	if err := await(ctx, page); err != nil {
		return err
	}
	sensors := s.Program("sensors")
	consumer, err := s.Configure("sensors", "log: {level: error}\n")
	if err != nil {
		return err
	}
	for _, tag := range []string{"pressure", "level"} {
		if _, err := s.Run(tag, sensors, "-config", consumer, "upload", "-every", "500ms", tag); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "The page:            %s\n", page)
	fmt.Fprintf(out, "A client in Python:  examples/historian/python/client.py --addr %s watch\n", addr)
	fmt.Fprintf(out, "A client in Go:      %s -config %s talk pressure level\n\n", sensors, consumer)
	return show(ctx, sensors, consumer, out)
}

// await waits until the gateway answers with the page.
func await(ctx context.Context, page string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s does not come: %w", page, err)
		}
	}
}

// show runs the client that follows the values, until ctx ends.
func show(ctx context.Context, sensors, config string, out io.Writer) error {
	c := exec.CommandContext(ctx, sensors, "-config", config, "watch")
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	c.Stdout, c.Stderr = out, out
	err := c.Run()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("sensors has ended: %w", err)
}
