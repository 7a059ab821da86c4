package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/skerry/skerry/registry"
)

// Proxy configures the programs of other languages that `skerry proxy` serves; see package proxy.
type Proxy struct {
	// Programs by their names. Callees, statistics, access rules and traces use the names.
	Programs map[string]Program `yaml:"programs"`
}

// Program is one program of another language behind the proxy.
type Program struct {
	// Listen is the address for the program's calls: unix:/path/to.sock, or host:port of the
	// loopback interface.
	Listen string `yaml:"listen"`

	// User is the only user, besides root and the proxy's own, with processes that may connect to
	// the Unix socket. Default: the users that the socket's mode admits.
	User string `yaml:"user"`

	// Token must be shown by connections to a TCP port: skerry.login.
	Token string `yaml:"token" secret:"true"`

	// Unordered says that the program's clients match replies by number. Calls of one connection
	// then run concurrently.
	Unordered bool `yaml:"unordered" default:"false"`

	// Ports are for programs that can't name a service: by callee, a listener in the form of
	// Listen. Every call on it goes to that service.
	Ports map[string]string `yaml:"ports"`

	// Calls lists the services that the program may call, in addition to those in Provides. A
	// release waits for the program only if it concerns one of them.
	Calls []string `yaml:"calls"`

	// Provides lists the program's services; empty for a program that only calls.
	Provides []Provide `yaml:"provides"`
}

// Provide is a service that a program serves.
type Provide struct {
	// name for callers
	Service string `yaml:"service"`
	// of the service; empty for none
	Version string `yaml:"version"`
	// of the program's server, host:port
	Addr string `yaml:"addr"`
	// of the program's server
	Protocol string `yaml:"protocol" default:"framed-binary"`
	// tcp, thrift or thrift:METHOD
	Check string `yaml:"check" default:"thrift"`
	// services that its handlers call
	Calls []string `yaml:"calls"`
	// methods for requests from outside
	Entry []string `yaml:"entry"`
	// from the proxy to the program: at most its threads less one
	Concurrency int `yaml:"concurrency" unit:"connections" default:"16"`
	// the server has a TMultiplexedProcessor with the service under its name
	Multiplexed bool `yaml:"multiplexed" default:"false"`
	// TCP address of the proxy's port for callers; one for all services of a program
	Listen string `yaml:"listen" default:":0"`
	// as Service.Advertise
	Advertise string `yaml:"advertise"`
	// as Service.Weight
	Weight int `yaml:"weight" unit:"share" default:"100" zero:"-1 lists the instance without sending it calls"`
	// as Service.Zone
	Zone string `yaml:"zone"`
	// as Service.Tags
	Tags map[string]string `yaml:"tags"`
	// as Service.Thrift
	Thrift string `yaml:"thrift"`
}

// isToken reports whether a key is the token of a program.
func isToken(key string) bool {
	return strings.HasPrefix(key, "proxy.programs.") && strings.HasSuffix(key, ".token")
}

// readToken is readValue for a token: it refuses a file that every user may read.
func readToken(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s may be read by every user (mode %04o), so the token in it is no secret; mend it: "+
			"chmod o-rwx %s",
			path, info.Mode().Perm(), path)
	}
	return readValue(path)
}

// withDefaults fills in the programs' defaults.
func (x Proxy) withDefaults() Proxy {
	programs := maps.Clone(x.Programs)
	for name, p := range programs {
		fillDefaults(reflect.ValueOf(&p).Elem())
		p.Provides = slices.Clone(p.Provides)
		for i := range p.Provides {
			fillDefaults(reflect.ValueOf(&p.Provides[i]).Elem())
		}
		programs[name] = p
	}
	x.Programs = programs
	return x
}

// ListenAddr returns the network (unix or tcp) and the address for a program's calls.
func (p Program) ListenAddr() (network, addr string, err error) { return listenAddr(p.Listen) }

// PortAddr is ListenAddr for one of Ports.
func (p Program) PortAddr(service string) (network, addr string, err error) {
	return listenAddr(p.Ports[service])
}

// maxSocketPath is the limit of the systems, less the ending of a proxy's own socket (".ABC.new").
const maxSocketPath = 103 - 8

func listenAddr(text string) (network, addr string, err error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		switch {
		case !filepath.IsAbs(path):
			return "", "", fmt.Errorf("%q: a socket has an absolute path, such as unix:/run/skerry/billing.sock", text)
		case len(path) > maxSocketPath:
			return "", "", fmt.Errorf("%q: the path of a socket has at most %d bytes", text, maxSocketPath)
		}
		return "unix", filepath.Clean(path), nil
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		return "", "", fmt.Errorf("%q is neither unix:/path/to.sock nor an address and port, such as 127.0.0.1:7760",
			text)
	}
	if !at.Addr().IsLoopback() {
		return "", "", fmt.Errorf("%q: only programs of this host may call through the proxy; use a loopback "+
			"address, such as 127.0.0.1", text)
	}
	return "tcp", at.String(), nil
}

func (x Proxy) check(p *problems) {
	taken := map[string]string{} // address to key
	for _, name := range slices.Sorted(maps.Keys(x.Programs)) {
		key := "proxy.programs." + name
		checkName(p, key, name, false)
		x.Programs[name].check(p, key, taken)
	}
}

func (g Program) check(p *problems, key string, taken map[string]string) {
	listen := func(key, text string) {
		network, addr, err := listenAddr(text)
		switch other := taken[addr]; {
		case err != nil:
			p.at(key, "%v", err)
		case other != "":
			p.at(key, "%s is in use by %s: each program has a socket of its own, which says which program calls", text,
				other)
		case network == "tcp" && g.Token == "":
			p.at(key, "%s can be reached by every user of this host: set %s to a token that only the program knows",
				text, tokenKey(key))
		default:
			taken[addr] = key
		}
	}
	if g.Listen != "" || len(g.Ports) == 0 {
		listen(key+".listen", g.Listen)
	}
	for _, service := range slices.Sorted(maps.Keys(g.Ports)) {
		checkName(p, key+".ports", service, false)
		listen(key+".ports", g.Ports[service])
	}
	if g.Token != "" && len(g.Token) < 16 {
		p.at(key+".token", "a token of %d characters can be guessed; use 16 or more", len(g.Token))
	}
	for _, service := range g.Calls {
		checkName(p, key+".calls", service, false)
	}
	named, port := map[string]bool{}, ":0"
	for i, v := range g.Provides {
		key := fmt.Sprintf("%s.provides[%d]", key, i)
		v.check(p, key)
		if named[v.Service] {
			p.at(key+".service", "%s stands here twice; give each version a program of its own", v.Service)
		}
		named[v.Service] = true
		switch {
		case v.Listen == ":0":
		case port == ":0":
			port = v.Listen
		case v.Listen != port:
			p.at(key+".listen", "%s here and %s before; all services of a program share one port: name it once",
				v.Listen, port)
		}
	}
}

func tokenKey(key string) string { return key[:strings.LastIndexByte(key, '.')] + ".token" }

func (v Provide) check(p *problems, key string) {
	service := Service{Name: v.Service, Version: v.Version, Listen: v.Listen, Advertise: v.Advertise, Weight: v.Weight,
		Zone: v.Zone, Tags: v.Tags}
	service.check(p, key)
	if _, _, err := net.SplitHostPort(v.Addr); err != nil {
		p.at(key+".addr", `%q is no host:port; write where the program listens, such as "127.0.0.1:9090"`, v.Addr)
	}
	if proto := registry.Protocol(v.Protocol); !proto.Thrift() || proto == registry.ProtocolSkerry {
		p.at(key+".protocol", "%q is none of header, framed-binary, framed-compact, unframed-binary, unframed-compact",
			v.Protocol)
	}
	if kind, method, named := strings.Cut(v.Check, ":"); v.Check != "tcp" &&
		(kind != "thrift" || named && method == "") {
		p.at(key+".check", "%q is none of tcp, thrift, thrift:METHOD", v.Check)
	}
	for _, service := range v.Calls {
		checkName(p, key+".calls", service, false)
	}
	inRange(p, key+".concurrency", v.Concurrency, 1, registry.MaxConcurrency)
}
