package foreign

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/registry"
)

// Entry is a provider as an operator writes it: on the command line, or as an
// element of the list in a YAML file.
type Entry struct {
	Service  string   `yaml:"service"`
	Version  string   `yaml:"version"`
	Addr     string   `yaml:"addr"`     // host:port; without a host, the advertised address of this host
	Also     []string `yaml:"also"`     // further registrations of the same address: NAME, NAME/VERSION or /VERSION
	Protocol string   `yaml:"protocol"` // default framed-binary
	Check    string   `yaml:"check"`    // tcp, thrift, thrift:METHOD or http:/PATH; default tcp

	// Prefix is the service's name in the provider's TMultiplexedProcessor.
	// Concurrency is the number of connections that the provider serves at a
	// time, such as the threads of its pool; 0 means unknown.
	Prefix      string `yaml:"prefix"`
	Concurrency int    `yaml:"concurrency" default:"0"`

	Every    time.Duration     `yaml:"every" default:"5s"`
	Timeout  time.Duration     `yaml:"timeout"`
	Failures int               `yaml:"failures" default:"3"`
	Weight   int               `yaml:"weight" default:"100" zero:"-1 lists the instance without sending it calls"`
	Zone     string            `yaml:"zone"`
	Tags     map[string]string `yaml:"tags"`
	TLS      bool              `yaml:"tls"`
}

const maxFile = 4 << 20

// ReadFile reads a YAML list of entries. An unknown key is an error that names
// its line.
func ReadFile(path string) ([]Entry, error) {
	data, err := statedir.ReadNamed(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read providers: %w", err)
	}
	var list []Entry
	if err := yamlfile.Unmarshal(path, data, &list); err != nil {
		return nil, quote.Errorf("read providers: %w", err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("read providers: %s lists none", path)
	}
	return list, nil
}

// as returns the entry under another name, another version, or both. also is
// NAME (without a version), /VERSION or NAME/VERSION.
func (e Entry) as(also string) Entry {
	name, version, _ := strings.Cut(also, "/")
	e.Service, e.Version = cmp.Or(name, e.Service), version
	return e
}

// Provider checks the entry and returns its provider. host returns the host of
// an address without one; conf is as in ParseCheck.
func (e Entry) Provider(host func() (string, error), conf func() *tls.Config) (Provider, error) {
	name, portText, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return Provider{}, fmt.Errorf("addr %q of %s: want host:port", e.Addr, e.Service)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return Provider{}, fmt.Errorf("addr %q of %s: port %q is no number", e.Addr, e.Service, portText)
	}
	if name == "" {
		if name, err = host(); err != nil {
			return Provider{}, fmt.Errorf("addr %q of %s: %w", e.Addr, e.Service, err)
		}
	}
	check, err := ParseCheck(cmp.Or(e.Check, "tcp"), conf)
	if err != nil {
		return Provider{}, fmt.Errorf("%s at %s: %w", e.Service, e.Addr, err)
	}
	tags, err := e.tags()
	if err != nil {
		return Provider{}, fmt.Errorf("%s at %s: %w", e.Service, e.Addr, err)
	}
	p := Provider{
		Instance: registry.Instance{
			Service: e.Service, Version: e.Version, Host: name, Port: port, Weight: e.Weight, Zone: e.Zone, Tags: tags,
			TLS: e.TLS, Protocol: e.protocol(),
		},
		Check: check, Every: e.Every, Timeout: e.Timeout, Failures: e.Failures,
	}
	if err := p.Validate(); err != nil {
		return Provider{}, fmt.Errorf("%s at %s: %w", e.Service, e.Addr, err)
	}
	return p, nil
}

func (e Entry) protocol() registry.Protocol {
	return registry.Protocol(cmp.Or(e.Protocol, string(registry.ProtocolFramedBinary)))
}

// tags returns the entry's own tags, with those that tell consumers how to call
// a plain Thrift server.
func (e Entry) tags() (map[string]string, error) {
	in := registry.Instance{Tags: maps.Clone(e.Tags)}
	if in.Tags == nil {
		in.Tags = map[string]string{}
	}
	plain := e.protocol().Thrift() && e.protocol() != registry.ProtocolSkerry
	switch {
	case !plain && (e.Prefix != "" || e.Concurrency != 0):
		return nil, fmt.Errorf("prefix and concurrency are for plain Thrift servers, not for protocol %s", e.protocol())
	case e.Concurrency < 0 || e.Concurrency > registry.MaxConcurrency:
		return nil, fmt.Errorf("concurrency %d is not in 0..%d", e.Concurrency, registry.MaxConcurrency)
	}
	if e.Prefix != "" {
		if err := registry.CheckPrefix(e.Prefix); err != nil {
			return nil, err
		}
		in.SetPrefix(e.Prefix)
	}
	if e.Concurrency > 0 {
		in.SetConcurrency(e.Concurrency)
	}
	return in.Tags, nil
}
