package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/console"
	"github.com/skerry/skerry/internal/run"
)

func (a *app) consoleCommand() *cobra.Command {
	listen, title := "127.0.0.1:7700", ""
	c := &cobra.Command{
		Use:   "console",
		Short: "Serve web pages that show the site",
		Long: `Serves web pages on this host: what needs an operator, services with their
instances, which service calls which, processes, the policy, and what was changed.
The pages are in Chinese and English, need no internet, and change nothing. Every
page is JSON, too (?format=json).

It prints a link. A browser signs in by it: once, within ten minutes. After each
sign-in it prints the next one. It listens on this host only; from another one,
open a tunnel: ssh -L 7700:127.0.0.1:7700 HOST.

The console takes part in the site as skerry ls does. It asks the processes every
two seconds while a page is open, and once a minute otherwise. Nothing needs it.`,
		Example: "  skerry console\n  skerry console --listen 127.0.0.1:8080 --title \"Hall 3\"",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.console(cmd.Context(), listen, title) },
	}
	c.Flags().StringVar(&listen, "listen", listen, "loopback `HOST:PORT`")
	c.Flags().StringVar(&title, "title", "", "what people call the site, for the pages")
	return c
}

const consoleHeaders = 10 * time.Second // a browser's request must have come by then

func (a *app) console(ctx context.Context, listen, title string) error {
	if addr, err := netip.ParseAddrPort(listen); err != nil || !addr.Addr().IsLoopback() {
		return usagef("--listen %s: want an address of this host only, such as 127.0.0.1:7700", listen)
	}
	n, cfg, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	cfg = cfg.WithDefaults()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return problemf("%w", err)
	}
	defer l.Close()
	host, _ := os.Hostname()
	used := make(chan struct{}, 1)
	pages := console.New(console.Config{Node: n, Cluster: cfg.Cluster, Title: title, Host: cmp.Or(host, "this host"),
		Release: buildVersion(), Logger: cfg.Log.Logger(), LinkUsed: func() {
			select {
			case used <- struct{}{}:
			default:
			}
		}})
	server := &http.Server{Handler: pages, ReadHeaderTimeout: consoleHeaders, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10}
	beside := run.NewGroup(ctx)
	beside.Go(func(ctx context.Context) error { pages.Run(ctx); return nil })
	beside.Go(func(ctx context.Context) error {
		for {
			a.printf("http://%s%s\n", l.Addr(), pages.Link())
			select {
			case <-ctx.Done():
				return nil
			case <-used:
			}
		}
	})
	defer beside.Stop()
	stop := context.AfterFunc(ctx, func() { server.Close() }) // streams do not end by themselves
	defer stop()
	a.note("serving pages on %s; open this link within ten minutes:", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return problemf("%w", err)
	}
	return nil
}
