package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/gateway"
)

// dial connects to a gateway by TCP.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn.(*net.TCPConn)
}

// patience is a service with slow calls that can be cancelled.
type patience struct{ guard }

func (p patience) Verify(ctx context.Context, _ string) (string, error) {
	select {
	case <-time.After(300 * time.Millisecond):
		return "in the end", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Requests of any kind are answered after the client has closed its sending side. A client that has
// reset its connection is gone, and the work for it ends.
func TestHalfClosedConnections(t *testing.T) {
	s := newSite(t)
	ended := make(chan error, 1)
	s.web(s.node, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		limit := 300 * time.Millisecond
		if r.URL.Path == "/reset" {
			limit = 30 * time.Second
		}
		select {
		case <-time.After(limit):
			fmt.Fprint(w, r.URL.Path, " ", n, " ", err)
		case <-r.Context().Done():
		}
		if r.URL.Path == "/reset" {
			ended <- r.Context().Err()
		}
	}))
	n := s.open(config.Service{Name: "auth", Version: "v1"})
	if err := n.Handle(t.Context(), "auth", authapi.NewAuthProcessor(patience{})); err != nil {
		t.Fatal(err)
	}
	addr, _ := s.serve(func(c *gateway.Config) {
		const idl = "../examples/portal/idl/auth.thrift"
		c.Routes = append(c.Routes,
			config.Route{Path: "/auth", Service: "auth", Thrift: idl},
			config.Route{Path: "/none", Service: "none", Timeout: time.Hour}, // would be the time of the wait
			config.Route{Path: "/nobody", Service: "nobody", Timeout: time.Hour, Thrift: idl})
	})
	const large = 300_000
	for name, c := range map[string]struct {
		request string
		want    []string
	}{
		"HTTP/1.1": {"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", []string{"/a 0 <nil>"}},
		"HTTP/1.0": {"GET /a HTTP/1.0\r\n\r\n", []string{"/a 0 <nil>"}},
		"two requests": {"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
			[]string{"/a 0 <nil>", "/b 0 <nil>"}},
		"a small body": {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", []string{"/a 3 <nil>"}},
		"a large body": {fmt.Sprintf("POST /a HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s",
			large, strings.Repeat("x", large)), []string{"/a 300000 <nil>"}},
		"a Thrift call": {"POST /auth/verify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
			"Content-Length: 13\r\n\r\n{\"token\":\"x\"}", []string{`"in the end"`}},
		"no instance": {"GET /none/x HTTP/1.1\r\nHost: a\r\n\r\n", []string{"503 Service Unavailable"}},
		"no Thrift instance": {"POST /nobody/verify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
			"Content-Length: 13\r\n\r\n{\"token\":\"x\"}",
			[]string{"503 Service Unavailable", `"no_instance"`}},
		"half a request": {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na", []string{"400 Bad Request"}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, addr)
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn)
			if err != nil {
				t.Error(err)
			}
			for _, want := range c.want {
				if !strings.Contains(string(answer), want) {
					t.Errorf("%q is not in %q", want, answer)
				}
			}
		})
	}
	gone := dial(t, addr)
	fmt.Fprint(gone, "GET /reset HTTP/1.1\r\nHost: a\r\n\r\n")
	time.Sleep(100 * time.Millisecond) // until it is in flight, mostly
	_ = gone.SetLinger(0)
	gone.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the work for a client that is gone went on to its end")
		}
	case <-time.After(20 * time.Second):
		t.Error("the work for a client that is gone goes on")
	}
}

// A client that sends its whole request before it reads gets the answer of a gateway, or a service,
// that has refused the request long before.
func TestRefusalsReachClientsThatSendFirst(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	pattern := httptestTLS(t)
	routes := func(c *gateway.Config) {
		c.Routes = append(c.Routes,
			config.Route{Path: "/auth", Service: "auth", Thrift: "../examples/portal/idl/auth.thrift"},
			config.Route{Path: "/none", Service: "nobody", Timeout: 100 * time.Millisecond})
	}
	plain, _ := s.serve(routes)
	secret, _ := s.serve(func(c *gateway.Config) { routes(c); c.ServerTLS = pattern.server })
	for name, c := range map[string]struct {
		path, header string
		status       int
	}{
		"a path that is refused":   {"/a/%2e%2e/b", "", http.StatusBadRequest},
		"no method of the service": {"/auth/nothing", "Content-Type: application/json\r\n", http.StatusNotFound},
		"too large for the service": {"/auth/verify", "Content-Type: application/json\r\n",
			http.StatusRequestEntityTooLarge},
		"no instance":            {"/none", "", http.StatusServiceUnavailable},
		"the service refuses it": {"/x", "", http.StatusUnauthorized},
		"headers that are too long": {"/x", "X: " + strings.Repeat("x", 80_000) + "\r\n",
			http.StatusRequestHeaderFieldsTooLarge},
	} {
		for _, secure := range []bool{false, true} {
			for _, coding := range []string{"length", "chunks"} {
				t.Run(fmt.Sprint(name, ", TLS ", secure, ", ", coding), func(t *testing.T) {
					t.Parallel()
					var conn net.Conn
					if secure {
						conn = pattern.dial(t, secret)
					} else {
						conn = dial(t, plain)
					}
					// Longer than a second, and so longer than http.Server would wait.
					const pieces, size = 12, 512 << 10
					head, piece := fmt.Sprintf("Content-Length: %d", pieces*size), strings.Repeat("x", size)
					if coding == "chunks" {
						head, piece = "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", size, piece)
					}
					request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\n%s%s\r\n\r\n", c.path, c.header, head)
					if _, err := io.WriteString(conn, request); err != nil {
						t.Fatal(err)
					}
					for i := range pieces {
						if _, err := io.WriteString(conn, piece); err != nil {
							t.Fatalf("piece %d: %v", i, err)
						}
						time.Sleep(100 * time.Millisecond)
					}
					answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != c.status ||
						!answer.Close {
						t.Errorf("%+v, %v", answer, err)
					}
				})
			}
		}
	}
}

// pair is the TLS configuration of a gateway and of clients that trust its certificate.
type pair struct{ server, client *tls.Config }

func httptestTLS(t *testing.T) pair {
	t.Helper()
	pattern := httptest.NewUnstartedServer(nil)
	pattern.StartTLS() // for its certificate
	defer pattern.Close()
	roots := x509.NewCertPool()
	roots.AddCert(pattern.Certificate())
	return pair{
		&tls.Config{Certificates: pattern.TLS.Certificates, NextProtos: []string{"http/1.1"}},
		&tls.Config{RootCAs: roots, ServerName: "example.com"},
	}
}

func (p pair) dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn := tls.Client(dial(t, addr), p.client)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}
