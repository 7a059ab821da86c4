package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/proxy"
)

func (a *app) proxyCommand() *cobra.Command {
	programs := ""
	c := &cobra.Command{
		Use:   "proxy",
		Short: "Make programs of other languages members of the site",
		Long: `Serves the programs of the section proxy of the configuration. A program calls any
service by its name (TMultiplexedProtocol: SERVICE:METHOD) over the program's
socket, with the client of its stock Thrift library; what it provides is listed
while it answers a check, and callers are led through the proxy. Balancing,
retries, deadlines, limits, access rules, statistics and releases are those of
Go services.

SIGTERM and ctrl-C leave politely: off the lists, calls answered. A second
proxy with the same configuration takes the sockets over without a lost call,
and the first one ends.`,
		Example: `  skerry proxy
  skerry proxy status
  skerry proxy drain billing

  proxy:
    programs:
      billing:
        listen: unix:/run/skerry/billing.sock
        provides:
          - {service: billing, version: v3, addr: "127.0.0.1:9090", concurrency: 31}`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.proxy(cmd.Context(), programs) },
	}
	c.Flags().StringVar(&programs, "programs", "", "`FILE` with programs in place of those of the configuration")
	c.AddCommand(&cobra.Command{
		Use:   "drain PROGRAM",
		Short: "Leave a program politely, so that it may be stopped",
		Long: `Has the proxy of this host leave a program: its services go off the lists, calls
that run are answered, and the socket is given up. It returns when that is done;
a supervisor may stop the program then.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeProgram,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.proxyDrain(cmd.Context(), args[0])
		},
	}, &cobra.Command{
		Use:   "status",
		Short: "Show this host's programs and what their proxies say of them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.proxyStatus(cmd.Context()) },
	})
	return c
}

// proxy serves until ctx ends.
func (a *app) proxy(ctx context.Context, programs string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	if programs != "" {
		text, err := os.ReadFile(programs)
		if err != nil {
			return usagef("%w", err)
		}
		c.Proxy.Programs = nil
		if err := yamlfile.Unmarshal(programs, text, &c.Proxy.Programs); err != nil {
			return usagef("%w", err)
		}
	}
	x, err := proxy.New(c, nil)
	if err != nil {
		return usagef("%w", err)
	}
	if err := x.Run(ctx); err != nil {
		return problemf("%w", err)
	}
	a.note("every program has been left")
	return nil
}

// proxyProgram returns a program of the configuration.
func (a *app) proxyProgram(name string) (config.Program, error) {
	c, err := a.config()
	if err != nil {
		return config.Program{}, err
	}
	programs := c.WithDefaults().Proxy.Programs
	g, ok := programs[name]
	if !ok {
		names := slices.Sorted(maps.Keys(programs))
		return g, usagef("the configuration has no program %q under proxy.programs%s",
			name, suggest.DidYouMean(name, names))
	}
	return g, nil
}

func (a *app) proxyDrain(ctx context.Context, name string) error {
	g, err := a.proxyProgram(name)
	if err != nil {
		return err
	}
	if err := proxy.Drain(ctx, g); err != nil {
		return problemf("%w", err)
	}
	a.note("%s has been left; it may be stopped", name)
	return nil
}

// programStatus is a program in the output of status.
type programStatus struct {
	proxy.Status
	Listen string `json:"listen"`
	Error  string `json:"error,omitempty"` // reason why the status is unknown
}

func (a *app) proxyStatus(ctx context.Context) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	var list []programStatus
	var failed error
	programs := c.WithDefaults().Proxy.Programs
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		g := programs[name]
		s := programStatus{Status: proxy.Status{Program: name}, Listen: g.Listen}
		if said, err := proxy.Ask(ctx, g); err != nil {
			s.Error = err.Error()
			failed = errors.Join(failed, err)
		} else {
			s.Status = said
		}
		list = append(list, s)
	}
	if a.flags.json {
		err = a.printJSON(list)
	} else {
		a.printPrograms(list)
	}
	if failed != nil {
		return problemf("%w", failed)
	}
	return err
}

func (a *app) printPrograms(list []programStatus) {
	var rows [][]string
	for _, s := range list {
		state, pid := string(s.State), strconv.Itoa(s.PID)
		if s.Error != "" {
			state, pid = "no proxy", ""
		}
		if len(s.Provides) == 0 {
			rows = append(rows, []string{s.Program, state, pid, "", "", "", "", s.Listen})
		}
		for _, p := range s.Provides {
			service := strings.TrimSuffix(p.Service+"/"+p.Version, "/")
			rows = append(rows, []string{s.Program, state, pid, service, p.Addr, p.State, p.Helper, s.Listen})
		}
	}
	a.printTable([]string{"PROGRAM", "STATE", " PID", "SERVICE", "ADDR", "LISTED", "HELPER", "LISTEN"}, rows)
}

// completeProgram offers the programs of the configuration.
func (a *app) completeProgram(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := a.config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(c.Proxy.Programs)), cobra.ShellCompDirectiveNoFileComp
}
