package rpc

import (
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// beside serves a second service at the server's port.
func beside(t *testing.T, s *testServer, service string, p thrift.TProcessor) (remove func()) {
	t.Helper()
	remove, err := s.Handle(service, "v1", p)
	if err != nil {
		t.Fatal(err)
	}
	return remove
}

// A service that leaves while its process stays refuses its calls like a stopping server, so a call
// tries all listed instances, whatever Retries is.
func TestCallsOfADepartedServiceGoOn(t *testing.T) {
	var all []*Endpoint
	left := &handler{}
	for range 5 {
		s := serve(t, ServerConfig{}, &handler{})
		beside(t, s, "other", echo.NewEchoProcessor(left))()
		all = append(all, &Endpoint{ID: s.addr, Service: "other", Addr: s.addr})
	}
	there := &handler{name: "there"}
	last := serve(t, ServerConfig{}, &handler{})
	beside(t, last, "other", echo.NewEchoProcessor(there))
	p := &pool{bad: map[*Endpoint]bool{}, all: append(all, &Endpoint{ID: last.addr, Service: "other", Addr: last.addr})}
	c := client(t, ClientConfig{Resolver: p})
	tc, err := c.Service("other", ServiceOptions{Timeout: time.Minute, Retries: new(1), Breaker: Breaker{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * len(p.all) { // the pool takes its endpoints in turn, so that each is the first one once
		if name, err := echo.NewEchoClient(tc).Who(t.Context()); err != nil || name != "there" {
			t.Errorf("%q, %v", name, err)
		}
	}
	_, err = echo.NewEchoClient(c.At("other", p.all[0])).Who(t.Context())
	wantCode(t, err, Draining, NotExecuted)
	_, err = echo.NewEchoClient(c.At("never", p.all[0])).Who(t.Context())
	wantCode(t, err, UnknownService, NotExecuted)
	if n := left.calls.Load(); n != 0 {
		t.Errorf("%d calls were executed by services that had left", n)
	}
}

// A call without a service name never goes to another service than before after the intended one
// has left.
func TestPlainCallsOfADepartedService(t *testing.T) {
	first := &handler{name: "first"}
	s := serve(t, ServerConfig{}, first)
	if name, err := stockWho(t, s.addr); err != nil || name != "first" {
		t.Errorf("alone: %q, %v", name, err)
	}
	alias := s.routes.load().byName["echo"].processor
	beside(t, s, "alias", alias)()
	if name, err := stockWho(t, s.addr); err != nil || name != "first" {
		t.Errorf("after its second name: %q, %v", name, err)
	}
	second := &handler{name: "second"}
	remove := beside(t, s, "second", echo.NewEchoProcessor(second))
	if name, err := stockWho(t, s.addr); err == nil {
		t.Errorf("two services have the method: %q", name)
	}
	remove()
	if name, err := stockWho(t, s.addr); err == nil {
		t.Errorf("the second one has left: %q", name)
	}
	if n := first.calls.Load() + second.calls.Load(); n != 2 {
		t.Errorf("%d calls were executed, want 2", n)
	}
	beside(t, s, "second", echo.NewEchoProcessor(second))
	if len(s.routes.load().departed) != 1 { // the alias
		t.Errorf("remembered: %v", s.routes.load().departed)
	}
}

// Departed services are forgotten after a while, and at most departedMost are remembered.
func TestDepartedServicesAreForgotten(t *testing.T) {
	var r routes
	p := echo.NewEchoProcessor(&handler{})
	for i := range departedMost + 10 {
		remove, err := r.add(&served{name: message(i).Text, processor: p})
		if err != nil {
			t.Fatal(err)
		}
		remove()
	}
	if n := len(r.load().departed); n != departedMost {
		t.Errorf("%d are remembered", n)
	}
	old := departed{at: time.Now().Add(-departedFor)}
	r.change(func(t *routeTable) { t.departed["old"] = old })
	if _, _, err := r.find("old", "who"); err == nil || !old.over() {
		t.Errorf("after %v: %v", departedFor, err)
	}
	r.change(func(*routeTable) {})
	if _, kept := r.load().departed["old"]; kept {
		t.Error("it is kept")
	}
}
