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
	cfg, err := edgeConfig(c)
	if err != nil {
		return usagef("%w", err)
	}
	if err := cfg.Validate(); err != nil {
		return usagef("%w\nSee: skerry gateway --help", err)
	}
	l, err := net.Listen("tcp", c.Gateway.Listen)
	if err != nil {
		return problemf("%w", err)
	}
	defer l.Close()
	cfg.Logger = c.Log.Logger()
	files, err := tlsfile.New(tlsfile.Files{Cert: c.Gateway.TLS.Cert, Key: c.Gateway.TLS.Key}, "", false)
	if err != nil {
		return usagef("gateway.%w", err)
	}
	if c.Gateway.TLS.Cert != "" {
		cfg.TLS = files.Server()
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

// edgeConfig converts the section gateway to the package's configuration.
func edgeConfig(c skerry.Config) (gateway.Config, error) {
	cfg := gateway.Config{
		StickyCookie: c.Gateway.StickyCookie, StickyHeader: c.Gateway.StickyHeader,
		MaxHeader: c.Gateway.MaxHeader, Drain: c.Stop.Drain,
		BodyIdle: c.Gateway.BodyIdle, WebSocketIdle: c.Gateway.WebSocketIdle, MaxConnections: c.Gateway.MaxConnections,
	}
	var err error
	if cfg.TrustedProxies, err = c.Gateway.Trusted(); err != nil {
		return cfg, err
	}
	if c.Gateway.Health != "none" {
		cfg.Health = c.Gateway.Health
	}
	cfg.Routes = edgeRoutes(c.Gateway)
	return cfg, nil
}

// edgeRoutes converts the routes to those of the package.
func edgeRoutes(g config.Gateway) []gateway.Route {
	var routes []gateway.Route
	for _, r := range g.Routes {
		routes = append(routes, gateway.Route{
			Host: r.Host, Path: r.Path, Service: r.Service, Strip: r.Strip, Timeout: r.Timeout,
			RefuseEncodedSlash: r.Slash == "refuse", Thrift: r.Thrift, Interface: r.Interface, Include: r.Include,
		})
	}
	return routes
}
