package main

import (
	"context"
	"net"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/tlsfile"
)

func (a *app) gatewayCommand() *cobra.Command {
	listen := ""
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Take in users' HTTP requests",
		Long: `Serves users by HTTP in front of the site's services, by the section gateway of
the configuration: each route leads a path to an HTTP service (instances of
protocol http), or with a .thrift file to a Thrift service (POST PATH/METHOD
with a JSON object of the arguments).

Every request becomes a trace here, and meets one version of each service while
releases go on. The cookie skerry-preview, with the mark that "skerry release
start" has printed, shows a verifier the versions of the release that is open.

HTTP services obey no policy of the site. The gateway obeys their access (403)
and limits (429) in their place, for users by address; see docs/policy.md.

It serves once it knows the site's rules, 2 s after its start at the latest;
GET /skerry-health (gateway.health) answers 200 from then on. A line of log for
each request goes to stderr. SIGTERM and ctrl-C stop it politely: requests and
WebSockets have stop.drain (30s) to end.`,
		Example: `  skerry gateway --listen :8080

  gateway:
    listen: ":443"
    tls: {cert: /etc/site/www.pem, key: /etc/site/www.key}
    sticky_cookie: session
    routes:
      - {path: /, service: web}
      - {path: /api/auth, service: auth, thrift: auth.thrift}`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.gateway(cmd.Context(), listen) },
	}
	c.Flags().StringVar(&listen, "listen", "", "`HOST:PORT` for users, instead of the configured one")
	return c
}

// gateway serves users until ctx ends.
func (a *app) gateway(ctx context.Context, listen string) error {
	if err := a.wholeConfig(); err != nil {
		return err
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	c.Service, c.Services = config.Service{}, nil // the services belong to another process
	if listen != "" {
		c.Gateway.Listen = listen
	}
	c = c.WithDefaults()
	if len(c.Gateway.Routes) == 0 {
		return usagef("gateway: no routes; name at least a path and a service\nSee: skerry gateway --help")
	}
	cfg := gateway.Config{Gateway: c.Gateway, Drain: c.Stop.Drain, Logger: c.Log.Logger()}
	l, err := net.Listen("tcp", c.Gateway.Listen)
	if err != nil {
		return problemf("%w", err)
	}
	defer l.Close()
	files, err := tlsfile.New(tlsfile.Files{Cert: c.Gateway.TLS.Cert, Key: c.Gateway.TLS.Key}, "", false)
	if err != nil {
		return usagef("gateway.%w", err)
	}
	if c.Gateway.TLS.Cert != "" {
		cfg.ServerTLS = files.Server()
	}
	beside := run.NewGroup(ctx)
	beside.Go(func(ctx context.Context) error { return files.Run(ctx, cfg.Logger) })
	defer beside.Stop()
	n, err := skerry.Open(ctx, c, skerry.WithLogger(cfg.Logger))
	if err != nil {
		return problemf("%w", err)
	}
	defer n.Close()
	g, err := gateway.New(n, cfg)
	if err != nil {
		return usagef("%w", err)
	}
	n.Rollout().Await(ctx) // connections that come meanwhile wait in the backlog
	a.note("serving users on %s", l.Addr())
	return g.Serve(ctx, l)
}
