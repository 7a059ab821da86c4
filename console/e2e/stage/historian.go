package stage

import (
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/skerry/skerry/internal/testsite"
)

// Historian is the example of streams at a site, until the end of a test.
type Historian struct {
	Origin string // of the page

	site    *Site
	t       T
	idl     string
	gateway *testsite.Process
}

// Historian starts the historian, a sensor that uploads values of pressure, and a gateway.
func (s *Site) Historian(t T) *Historian {
	t.Helper()
	h := &Historian{Origin: "http://127.0.0.1:7780", site: s, t: t,
		idl: filepath.Join(Root(t), "examples", "historian", "historian.thrift")}
	h.start("historian", "ops-4", "historian", "-page", addresses+"4:7061", "-config", s.config("historian",
		fmt.Sprintf("service: {name: historian, version: v1, listen: \"%s4:7051\", thrift: %q}\n", addresses, h.idl)))
	h.start("sensor", "ops-3", "sensors", "-config", s.config("sensor", ""), "upload", "-every", "100ms", "pressure")
	h.StartGateway()
	return h
}

// StartGateway starts the gateway, also again.
func (h *Historian) StartGateway() {
	h.t.Helper()
	h.gateway = h.start("gateway", "ops-1", "skerry", "gateway", "-c", h.site.config("gateway", fmt.Sprintf(
		"gateway:\n  listen: %q\n  routes:\n    - {path: /, service: historian-page}\n"+
			"    - {path: /historian, service: historian, thrift: %q}\n", h.Origin[len("http://"):], h.idl)))
}

// StopGateway stops the gateway in order.
func (h *Historian) StopGateway() { h.stop(h.gateway) }

// start starts a program that leaves the site in order at the end of the test, so that pages show no dead process.
func (h *Historian) start(name, host, program string, args ...string) *testsite.Process {
	h.t.Helper()
	p := testsite.Start(h.t, h.site.dir, name, h.site.command(host, program, args...), func(string) {})
	h.t.Cleanup(func() { h.stop(p) })
	return p
}

func (h *Historian) stop(p *testsite.Process) {
	if !p.Over() {
		p.Signal(syscall.SIGTERM)
		p.Wait(commandLimit)
	}
}
