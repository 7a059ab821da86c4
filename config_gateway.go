package skerry

import (
	"fmt"
	"strings"
	"time"
)

// Gateway is the edge that `skerry gateway` is; package gateway says what it
// does. A process that is no gateway has no routes.
type Gateway struct {
	Listen string  `yaml:"listen" default:":8080"` // TCP address for users, host:port
	Routes []Route `yaml:"routes"`                 // which paths lead to which services

	// StickyCookie and StickyHeader name what is the same in all requests of
	// one user: while a release ramps up it decides on which side the user is.
	StickyCookie string `yaml:"sticky_cookie"`
	StickyHeader string `yaml:"sticky_header"`

	Health    string     `yaml:"health" default:"/skerry-health"`         // path that answers 200 once the gateway is ready; "none" for none
	MaxHeader int        `yaml:"max_header" unit:"bytes" default:"64KiB"` // headers of a request or response
	TLS       GatewayTLS `yaml:"tls"`                                     // makes the port speak HTTPS
}

// GatewayTLS is what the gateway shows its users; it has nothing to do with
// the calls inside the site.
type GatewayTLS struct {
	Cert string `yaml:"cert"` // file of the certificate chain, PEM
	Key  string `yaml:"key"`  // file of its private key, PEM
}

// Route leads the requests of a path to a service.
type Route struct {
	Path    string        `yaml:"path"`    // with all that lies below it; the longest path wins
	Host    string        `yaml:"host"`    // of the requests; empty for any
	Service string        `yaml:"service"` // its instances have protocol http, unless thrift is set
	Strip   bool          `yaml:"strip"`   // the service does not see the path
	Timeout time.Duration `yaml:"timeout"` // until the response begins; default 30 s

	Thrift    string   `yaml:"thrift"`    // .thrift file of a Thrift service: POST path/Method
	Interface string   `yaml:"interface"` // service in that file, when it declares several
	Include   []string `yaml:"include"`   // directories for included files
}

func (g Gateway) check(p *problems) {
	checkHostPort(p, "gateway.listen", g.Listen, true)
	inRange(p, "gateway.max_header", g.MaxHeader, 4096, 1<<20)
	if g.Health != "none" && !strings.HasPrefix(g.Health, "/") {
		p.at("gateway.health", "%q does not begin with a slash; \"none\" turns it off", g.Health)
	}
	if (g.TLS.Cert == "") != (g.TLS.Key == "") {
		p.at("gateway.tls", "a certificate and its private key go together; set both cert and key")
	}
	first := map[string]int{}
	for i, r := range g.Routes {
		key := fmt.Sprintf("gateway.routes[%d]", i)
		checkName(p, key+".service", r.Service, false)
		if !strings.HasPrefix(r.Path, "/") {
			p.at(key+".path", "%q does not begin with a slash", r.Path)
		}
		if r.Timeout < 0 {
			p.at(key+".timeout", `"none" makes no sense here; leave it out for 30s`)
		}
		id := r.Host + " " + strings.TrimSuffix(r.Path, "/")
		if other, twice := first[id]; twice {
			p.at(key+".path", "%s leads somewhere in gateway.routes[%d] already", r.Path, other)
		}
		first[id] = i
	}
}
