// Package hosts runs the programs of the example on make-believe hosts, for its demo and its tests. A host is a
// skerry proxy and the programs behind it, all on the loopback interface.
package hosts

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
)

// stopLimit is how long a process may take to leave.
const stopLimit = 40 * time.Second

// Program is a service of a host, in one version.
type Program struct{ Service, Version string }

// language says how the proxy speaks to a program, and what the program calls.
type language struct{ protocol, calls string }

var languages = map[string]language{
	"portal": {"framed-binary", "calls: [auth, proc], entry: [handle]"}, // Node.js
	"auth":   {"unframed-binary", "calls: [db]"},                        // Java
	"proc":   {"framed-binary", "calls: [auth, db]"},                    // Python
	"db":     {"framed-compact", "calls: [auth]"},                       // C++
}

// Settings hold for every host of a site.
type Settings struct {
	Root          string // of the repository
	Lines         string // of the configuration of each proxy, beside the programs
	WithoutHelper bool   // the programs serve with the stock library alone
}

// Host is a proxy with its programs.
type Host struct {
	Name     string
	settings Settings
	site     *site.Site
	programs []Program
	ports    map[string]string // by service
	config   string            // path of the proxy's configuration
}

// New makes a host that runs nothing yet. Names of its processes end with its name: proxy-a, auth-a.
func New(s *site.Site, set Settings, name string, programs ...Program) (*Host, error) {
	h := &Host{Name: name, settings: set, site: s, programs: programs, ports: map[string]string{}}
	var b strings.Builder
	b.WriteString(set.Lines)
	b.WriteString("proxy:\n  programs:\n")
	for _, p := range programs {
		addr, err := site.FreeAddr()
		if err != nil {
			return nil, err
		}
		if _, h.ports[p.Service], err = net.SplitHostPort(addr); err != nil {
			return nil, err
		}
		how := languages[p.Service]
		fmt.Fprintf(&b, "    %s:\n      listen: %q\n      provides:\n", p.Service, "unix:"+h.socket(p.Service))
		fmt.Fprintf(&b, "        - {service: %s, version: %s, addr: %q, protocol: %s, concurrency: 31, %s}\n",
			p.Service, p.Version, addr, how.protocol, how.calls)
	}
	var err error
	h.config, err = s.Configure("proxy-"+name, b.String())
	return h, err
}

func (h *Host) socket(service string) string {
	return filepath.Join(filepath.Dir(h.site.LogPath(h.Name)), service+"-"+h.Name+".sock")
}

// Start starts the proxy and the programs.
func (h *Host) Start() error {
	for _, p := range h.programs {
		if err := h.StartProgram(p.Service); err != nil {
			return err
		}
	}
	return h.StartProxy()
}

// StartProxy starts the proxy. Beside one that runs it takes the sockets over.
func (h *Host) StartProxy() error {
	_, err := h.site.Run("proxy-"+h.Name, h.site.Program("skerry"), "proxy", "--config", h.config)
	return err
}

// StartProgram starts the program of a service.
func (h *Host) StartProgram(service string) error {
	for _, p := range h.programs {
		if p.Service != service {
			continue
		}
		args := []string{"SKERRY_PROXY=" + h.socket(service)}
		if h.settings.WithoutHelper {
			args = append(args, "WITHOUT_HELPER=1")
		}
		name := service + "-" + h.Name
		args = append(args, filepath.Join(h.settings.Root, "examples/polyglot/run"), service, name, p.Version,
			h.ports[service])
		_, err := h.site.RunAs(&site.Process{Name: name, Service: service, Version: p.Version}, "env", args...)
		return err
	}
	return fmt.Errorf("host %s has no program of %s", h.Name, service)
}

// Proxy returns the proxy that was started last.
func (h *Host) Proxy() *site.Process { return h.site.Find("proxy-" + h.Name) }

// Program returns the process of a service.
func (h *Host) Program(service string) *site.Process { return h.site.Find(service + "-" + h.Name) }

// Stop asks the proxy to leave, and then the programs.
func (h *Host) Stop() error {
	proxy := h.Proxy()
	if err := stop(proxy); err != nil {
		return err
	}
	if _, err := proxy.Ended(); err != nil {
		return fmt.Errorf("%s: %w", proxy.Name, err)
	}
	for _, p := range h.programs {
		if err := stop(h.Program(p.Service)); err != nil { // SIGTERM ends them: they know nothing of it
			return err
		}
	}
	return nil
}

// stop asks a process to end, and waits until it has.
func stop(p *site.Process) error {
	if err := p.Stop(); err != nil {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	select {
	case <-p.Done():
		return nil
	case <-time.After(stopLimit):
		return fmt.Errorf("%s has not ended %v after it was asked to", p.Name, stopLimit)
	}
}
