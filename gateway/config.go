package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Node is the part of a process that a gateway needs. *skerry.Node implements it.
type Node interface {
	Rollout() *participant.Agent
	Picker(service string) rpc.Picker
	ServiceOptions(service string) rpc.ServiceOptions
	Dial(ctx context.Context, e *rpc.Endpoint) (net.Conn, error)
	Client(service string, edits ...func(*rpc.ServiceOptions)) thrift.TClient
	Stats() *health.Recorder
}

// Config configures a gateway. Only Routes are required.
type Config struct {
	Routes []Route

	// StickyCookie and StickyHeader name a value that is the same in all requests of one user. The
	// value decides the user's side of a split. The cookie has precedence. Without either, each
	// request gets a random side.
	StickyCookie string
	StickyHeader string

	// Health is a path for a supervisor, or for a balancer in front. It answers 200 once the
	// gateway can serve requests by the site's rules, and 503 before that. It has precedence over
	// the routes; "" means none.
	Health string

	// BodyIdle is how long a request's body, or the response to a client, may make no progress; 0
	// means 30 s, less means no limit. WebSocketIdle is how long a WebSocket may be silent both
	// ways; 0 means 1 h, less means no limit.
	BodyIdle      time.Duration
	WebSocketIdle time.Duration

	// MaxConnections limits the connections of clients that Serve keeps at a time; 0 means 10,000.
	// From ¾ of it on, a new connection costs the oldest connection that has never completed a
	// request, of the address that has most such connections.
	MaxConnections int

	// TrustedProxies stand in front of the gateway. It believes X-Forwarded-For, -Host and -Proto
	// of requests that they send, and drops these headers of all other requests.
	TrustedProxies []netip.Prefix

	Retries   int           // further attempts of one request; 0 means 2, -1 none
	MaxHeader int           // bytes of a request's or response's headers; 0 means 64 KiB
	MaxJSON   int           // bytes of a body for a Thrift service; 0 means 1 MiB
	TLS       *tls.Config   // of the port; nil means plain HTTP
	Drain     time.Duration // how long Serve waits for running requests when it stops; 0 means 30 s
	Logger    *slog.Logger  // for the access log and failures; nil means slog.Default
}

// Route maps the requests of a path to a service.
type Route struct {
	Host    string        // of the request, without a port; case and a final dot make no difference; "" = any
	Path    string        // "/api" is for /api and all paths below it, spelt as in a URL; the longest path wins
	Service string        // name in the registry
	Strip   bool          // the service does not see Path
	Timeout time.Duration // until the response begins, once the request was sent; 0 means 30 s

	// RefuseEncodedSlash refuses paths with %2F or %5C, for a service that decodes them to slashes.
	// Other routes pass them on unchanged.
	RefuseEncodedSlash bool

	// Thrift is the .thrift file of a Thrift service; "" means that the service speaks HTTP.
	// Interface names the service in a file that declares several. Include lists the directories of
	// included files.
	Thrift    string
	Interface string
	Include   []string
}

const (
	defaultTimeout  = 30 * time.Second
	defaultBodyIdle = 30 * time.Second
	readHeaders     = 10 * time.Second // for a client to send its headers
	idleLimit       = 2 * time.Minute  // of a client's connection without a request
)

func (c *Config) setDefaults() {
	switch {
	case c.Retries == 0:
		c.Retries = 2
	case c.Retries < 0:
		c.Retries = 0
	}
	c.BodyIdle = cmp.Or(c.BodyIdle, defaultBodyIdle)
	c.WebSocketIdle = cmp.Or(c.WebSocketIdle, time.Hour)
	c.MaxConnections = cmp.Or(c.MaxConnections, 10_000)
	c.MaxHeader = cmp.Or(c.MaxHeader, 64<<10)
	c.MaxJSON = cmp.Or(c.MaxJSON, 1<<20)
	c.Drain = cmp.Or(c.Drain, 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

// Validate reports all errors of the configuration. New calls it, and also reads the .thrift files.
func (c Config) Validate() error {
	var all []error
	if len(c.Routes) == 0 {
		all = append(all, errors.New("gateway: no routes; name at least a path and a service"))
	}
	if h := c.Health; h != "" && (h != path.Clean(h) || !strings.HasPrefix(h, "/") || strings.ContainsAny(h, "{}?# ")) {
		all = append(all, fmt.Errorf("gateway: health %q is no path such as /healthy", h))
	}
	if c.MaxConnections < 0 {
		all = append(all, fmt.Errorf("gateway: %d connections are no limit", c.MaxConnections))
	}
	seen := map[tableKey]int{}
	for i, r := range c.Routes {
		host, segments, err := r.place()
		if err != nil {
			all = append(all, fmt.Errorf("gateway: routes[%d]: %w", i, err))
			continue
		}
		key := tableKey{host, pathKey(segments)}
		if first, twice := seen[key]; twice {
			all = append(all, fmt.Errorf("gateway: routes[%d]: %s%s is the path of routes[%d] already",
				i, r.Host, r.Path, first))
		}
		seen[key] = i
	}
	return errors.Join(all...)
}

// place checks a route, and returns the host and the segments that requests are compared with.
func (r Route) place() (host string, segments []string, err error) {
	switch clean := path.Clean(r.Path); {
	case !strings.HasPrefix(r.Path, "/"):
		return "", nil, fmt.Errorf("path %q does not begin with a slash", r.Path)
	case strings.ContainsAny(r.Path, "{}?# "):
		return "", nil, fmt.Errorf("path %q: braces, queries and blanks can't be in it", r.Path)
	case strings.TrimSuffix(r.Path, "/") != strings.TrimSuffix(clean, "/"):
		return "", nil, fmt.Errorf("path %q: write %q", r.Path, clean)
	case strings.Contains(r.Host, ":") && !strings.HasSuffix(r.Host, "]"), strings.Contains(r.Host, "/"):
		return "", nil, fmt.Errorf("host %q: want a name without port and path", r.Host)
	case r.Timeout < 0:
		return "", nil, fmt.Errorf("timeout %v is negative", r.Timeout)
	}
	if host, err = hostName(r.Host); err != nil {
		return "", nil, fmt.Errorf("host %w", err)
	}
	if segments, err = segmentsOf(r.Path); err != nil {
		return "", nil, fmt.Errorf("path %q: %w", r.Path, err)
	}
	return host, segments, registry.CheckName("service", r.Service)
}

// methodName maps a method to a name for statistics, so that the names are few.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		return method
	}
	return "other"
}
