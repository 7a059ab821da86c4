package config

import (
	"fmt"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/webpath"
)

// Gateway configures `skerry gateway`; see package gateway. Other processes have no routes.
type Gateway struct {
	Listen string  `yaml:"listen" default:":8080"` // TCP address for users, host:port
	Routes []Route `yaml:"routes"`                 // map paths to services

	// StickyCookie and StickyHeader name a value that is the same in all requests of one user.
	// While a release ramps up, the value decides the user's side.
	StickyCookie string `yaml:"sticky_cookie"`
	StickyHeader string `yaml:"sticky_header"`

	// path that answers 200 once the gateway is ready; "none" for none
	Health    string `yaml:"health" default:"/skerry-health"`
	MaxHeader int    `yaml:"max_header" unit:"bytes" default:"64KiB"` // headers of a request or response

	// BodyIdle ends a request when its body, or the client's reading of the response, makes no
	// progress. WebSocketIdle ends a WebSocket that is silent both ways. "none" for no limit.
	BodyIdle      time.Duration `yaml:"body_idle" default:"30s"`
	WebSocketIdle time.Duration `yaml:"websocket_idle" default:"1h"`

	// MaxConnections limits the open connections of users. From ¾ of it on, the oldest connections
	// without any request are closed, of the address that has most of those.
	MaxConnections int `yaml:"max_connections" unit:"connections" default:"10000"`

	// MaxStreams limits the open streams of users, MaxStreamsPerAddress those of one address. They are counted apart
	// from other requests.
	MaxStreams           int `yaml:"max_streams" unit:"streams" default:"4000"`
	MaxStreamsPerAddress int `yaml:"max_streams_per_address" unit:"streams" default:"100"`

	// TrustedProxies are addresses and CIDRs of proxies in front. The gateway believes the origin
	// of requests that they state.
	TrustedProxies []string `yaml:"trusted_proxies"`

	TLS GatewayTLS `yaml:"tls"` // makes the port speak HTTPS
}

// GatewayTLS is the gateway's TLS for users. It has no effect on the calls inside the site.
type GatewayTLS struct {
	Cert string `yaml:"cert"` // file of the certificate chain, PEM
	Key  string `yaml:"key"`  // file of its private key, PEM
}

// Route maps the requests of a path to a service.
type Route struct {
	Path string `yaml:"path"` // includes all paths below it; the longest path wins
	Host string `yaml:"host"` // of the requests; empty for any
	// its instances have protocol http, unless thrift is set
	Service string `yaml:"service"`
	Strip   bool   `yaml:"strip"` // the service does not see the path
	// "refuse" refuses %2F and %5C in paths; "pass", the default, lets them pass
	Slash   string        `yaml:"encoded_slash" default:"pass"`
	Timeout time.Duration `yaml:"timeout" default:"30s"` // until the response begins

	Thrift    string   `yaml:"thrift"`    // .thrift file of a Thrift service: POST path/Method
	Interface string   `yaml:"interface"` // service in that file, when it declares several
	Include   []string `yaml:"include"`   // directories for included files
}

// Trusted parses TrustedProxies.
func (g Gateway) Trusted() ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range g.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.Zone() != "" {
				return nil, fmt.Errorf("%q is no address and no CIDR; want one such as 10.0.0.5 or 10.0.0.0/24", text)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// WithDefaults returns the section with all defaults filled in.
func (g Gateway) WithDefaults() Gateway {
	fillDefaults(reflect.ValueOf(&g).Elem())
	g.Routes = slices.Clone(g.Routes)
	for i := range g.Routes {
		fillDefaults(reflect.ValueOf(&g.Routes[i]).Elem())
	}
	return g
}

// Validate reports all errors of the section as one [*Error]. Their keys begin with "gateway.".
func (g Gateway) Validate() error {
	p := &problems{}
	g.WithDefaults().check(p)
	return p.err()
}

func (g Gateway) check(p *problems) {
	checkHostPort(p, "gateway.listen", g.Listen, true)
	inRange(p, "gateway.max_header", g.MaxHeader, 4096, 1<<20)
	atLeast(p, "gateway.body_idle", g.BodyIdle, time.Second, true)
	atLeast(p, "gateway.websocket_idle", g.WebSocketIdle, time.Second, true)
	inRange(p, "gateway.max_connections", g.MaxConnections, 16, 1<<20)
	inRange(p, "gateway.max_streams", g.MaxStreams, 1, 1<<20)
	inRange(p, "gateway.max_streams_per_address", g.MaxStreamsPerAddress, 1, 1<<20)
	if _, err := g.Trusted(); err != nil {
		p.at("gateway.trusted_proxies", "%v", err)
	}
	switch h := g.Health; {
	case h == "none":
	case !strings.HasPrefix(h, "/"):
		p.at("gateway.health", "%q does not begin with a slash; \"none\" turns it off", h)
	case h != path.Clean(h), strings.ContainsAny(h, "{}?# "):
		p.at("gateway.health", "%q is no path such as /healthy", h)
	}
	if (g.TLS.Cert == "") != (g.TLS.Key == "") {
		p.at("gateway.tls", "a certificate and its private key go together; set both cert and key")
	}
	g.checkRoutes(p)
}

func (g Gateway) checkRoutes(p *problems) {
	first := map[string]int{}
	for i, r := range g.Routes {
		key := fmt.Sprintf("gateway.routes[%d]", i)
		checkName(p, key+".service", r.Service, false)
		if r.Timeout < 0 {
			p.at(key+".timeout", `"none" makes no sense here; leave it out for 30s`)
		}
		oneOf(p, key+".encoded_slash", r.Slash, "pass", "refuse")
		segments, pathErr := r.segments()
		if pathErr != nil {
			p.at(key+".path", "%v", pathErr)
		}
		host, hostErr := r.host()
		if hostErr != nil {
			p.at(key+".host", "%v", hostErr)
		}
		if pathErr != nil || hostErr != nil {
			continue
		}
		id := host + "/" + webpath.Key(segments)
		if other, twice := first[id]; twice {
			p.at(key+".path", "%s leads somewhere in gateway.routes[%d] already", r.Path, other)
		}
		first[id] = i
	}
}

// Place returns the host and the segments of the path that requests are compared with. A request
// may have any host if host is "".
func (r Route) Place() (host string, segments []string, err error) {
	host, err = r.host()
	if err != nil {
		return "", nil, err
	}
	segments, err = r.segments()
	return host, segments, err
}

func (r Route) host() (string, error) {
	if strings.Contains(r.Host, ":") && !strings.HasSuffix(r.Host, "]") || strings.Contains(r.Host, "/") {
		return "", fmt.Errorf("%q: want a name without port and path", r.Host)
	}
	return webpath.HostName(r.Host)
}

func (r Route) segments() ([]string, error) {
	switch clean := path.Clean(r.Path); {
	case !strings.HasPrefix(r.Path, "/"):
		return nil, fmt.Errorf("%q does not begin with a slash", r.Path)
	case strings.ContainsAny(r.Path, "{}?# "):
		return nil, fmt.Errorf("%q: braces, queries and blanks can't be in it", r.Path)
	case strings.TrimSuffix(r.Path, "/") != strings.TrimSuffix(clean, "/"):
		return nil, fmt.Errorf("%q: write %q", r.Path, clean)
	}
	segments, err := webpath.OfRoute(r.Path)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", r.Path, err)
	}
	return segments, nil
}
