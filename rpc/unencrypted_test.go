package rpc

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// A server with RefuseClear refuses unencrypted calls unexecuted, counts them and logs them once.
// Open methods of internal services still answer.
func TestCallsInTheClear(t *testing.T) {
	ca, pool := authority(t)
	users := &tls.Config{Certificates: []tls.Certificate{ca(t, "127.0.0.1")}}
	const calls = 3
	for _, test := range []struct {
		name    string
		server  ServerConfig
		ep      *Endpoint
		stock   bool // a stock Thrift client calls
		taken   bool
		counted bool
	}{
		{name: "in the clear", server: ServerConfig{RefuseClear: true}, counted: true},
		{name: "in the clear by a stock client", server: ServerConfig{RefuseClear: true}, stock: true, counted: true},
		{name: "by a site connection", server: ServerConfig{RefuseClear: true}, ep: &Endpoint{Site: true},
			taken: true},
		{name: "by TLS", server: ServerConfig{RefuseClear: true, TLS: users}, ep: &Endpoint{TLS: true}, taken: true},
		{name: "in the clear where they are counted", server: ServerConfig{CountClear: true}, taken: true,
			counted: true},
		{name: "in the clear where nothing is asked", taken: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			log, h := &quietLog{}, &handler{name: "b"}
			test.server.Site, test.server.Logger = siteOf(t, ownerB, 1), slog.New(slog.NewTextHandler(log, nil))
			s := guarded(t, test.server, h)
			call := func() (string, error) { return stockWho(t, s.addr) }
			if test.ep == nil {
				test.ep = &Endpoint{}
			}
			if !test.stock {
				test.ep.ID, test.ep.Service, test.ep.Addr = "b", "echo", s.addr
				c := client(t, ClientConfig{Site: siteOf(t, ownerA, 1), TLS: &tls.Config{RootCAs: pool}}, test.ep)
				typed := stub(t, c, ServiceOptions{})
				call = func() (string, error) { return typed().Who(t.Context()) }
				if _, err := internalStub(c, test.ep).Who(t.Context()); err != nil {
					t.Errorf("the open method of an internal service: %v", err)
				}
				h.calls.Store(0)
			}
			for range calls {
				_, err := call()
				switch {
				case (err == nil) != test.taken:
					t.Errorf("call: %v", err)
				case err != nil && !strings.Contains(err.Error(), "site.calls: sealed"):
					t.Errorf("the caller reads %v", err)
				case err != nil && !test.stock:
					wantCode(t, err, NotSealed, NotExecuted)
				}
			}
			if executed := h.calls.Load(); (executed > 0) != test.taken {
				t.Errorf("%d calls were executed", executed)
			}
			said := strings.Count(log.String(), "in the clear")
			if n := s.Stats().InClear; (n > 0) != test.counted || (said == 1) != test.counted || said > 1 {
				t.Errorf("%d counted, said %d times:\n%s", n, said, log)
			}
		})
	}
}

// stockWho calls with the stock client, framed and in the binary protocol.
func stockWho(t *testing.T, addr string) (string, error) {
	t.Helper()
	conf := &thrift.TConfiguration{}
	transport := thrift.NewTFramedTransportConf(thrift.NewTSocketConf(addr, conf), conf)
	if err := transport.Open(); err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	p := thrift.NewTBinaryProtocolConf(transport, conf)
	return echo.NewEchoClient(thrift.NewTStandardClient(p, p)).Who(t.Context())
}
