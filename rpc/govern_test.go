package rpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/echo"
)

func TestBreakerLimitFallback(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	c := client(t, ClientConfig{}, s.endpoint())
	call := stub(t, c, ServiceOptions{})
	for range 20 {
		wantCode(t, call().Fail(t.Context(), "error"), HandlerFailed, WasExecuted)
	}
	_, err := call().Who(t.Context())
	wantCode(t, err, BreakerOpen, NotExecuted)

	call = stub(
		t,
		c,
		ServiceOptions{Limits: Limits{Methods: map[string]Limit{"sleep": {Pending: 1}}}, Timeout: time.Minute},
	)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	before := s.handler.calls.Load()
	wg.Go(func() { _, _ = call().Sleep(ctx, 60_000) })
	eventually(t, "one call is pending", func() bool { return s.handler.calls.Load() > before })
	_, err = call().Sleep(t.Context(), 0)
	wantCode(t, err, LimitExceeded, NotExecuted)
	cancel()
	wg.Wait()

	call = stub(t, c, ServiceOptions{Fallback: func(_ context.Context, call *Call, err error) error {
		if call.Method != "who" {
			return fmt.Errorf("no fallback for %s: %w", call.Method, err)
		}
		call.Result.(*echo.BaseWhoResult).Success = new("not known")
		return nil
	}})
	wantCode(t, call().Fail(t.Context(), "error"), HandlerFailed, WasExecuted)
	s.stop()
	if who, err := call().Who(t.Context()); err != nil || who != "not known" {
		t.Errorf("fallback: %q, %v", who, err)
	}
}

func TestInterceptors(t *testing.T) {
	var mu sync.Mutex
	var order []string
	note := func(s string) {
		mu.Lock()
		order = append(order, s)
		mu.Unlock()
	}
	around := func(name string) ClientInterceptor {
		return func(ctx context.Context, call *Call, next func(context.Context) error) error {
			note(name + " " + call.Method)
			defer note(name + " done")
			return next(ctx)
		}
	}
	guard := func(ctx context.Context, info *CallInfo, next func(context.Context) error) error {
		switch {
		case info.Baggage == "refused":
			return &Error{Code: LimitExceeded, Err: errors.New("not you")}
		case info.Baggage == "panic":
			panic("interceptor")
		}
		note("server " + info.Method)
		return next(ctx)
	}
	s := serve(t, ServerConfig{Interceptors: []ServerInterceptor{guard}}, &handler{name: "a"})
	c := client(t, ClientConfig{Interceptors: []ClientInterceptor{around("outer")}}, s.endpoint())
	call := stub(t, c, ServiceOptions{Interceptors: []ClientInterceptor{around("inner")}})
	if _, err := call().Who(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"outer who", "inner who", "server who", "inner done", "outer done"}
	if fmt.Sprint(order) != fmt.Sprint(want) {
		t.Errorf("order %v, want %v", order, want)
	}
	_, err := call().Who(WithBaggage(t.Context(), "refused"))
	wantCode(t, err, LimitExceeded, NotExecuted)
	_, err = call().Who(WithBaggage(t.Context(), "panic"))
	wantCode(t, err, HandlerPanicked, WasExecuted)
}

func TestStatisticsOfBothSides(t *testing.T) {
	server, caller := health.NewRecorder(health.Config{}), health.NewRecorder(health.Config{})
	s := serve(t, ServerConfig{Health: server}, &handler{})
	c := client(t, ClientConfig{Health: caller, Caller: "tester"}, s.endpoint())
	call := stub(t, c, ServiceOptions{})
	_, _ = call().Who(t.Context())
	_ = call().Fail(t.Context(), "declared")
	_ = call().Fail(t.Context(), "error")
	s.Drain(t.Context())
	for _, side := range []struct {
		r    *health.Recorder
		peer string
		side health.Side
	}{{server, "tester", health.Server}, {caller, s.addr, health.Client}} {
		got := map[string][3]int64{}
		for _, row := range side.r.Rows() {
			if row.Side != side.side || row.Service != "echo" || row.Peer != side.peer {
				t.Errorf("unexpected row %+v", row.Key)
			}
			got[row.Method] = [3]int64{
				row.Outcomes[health.OK],
				row.Outcomes[health.AppError],
				row.Outcomes[health.Internal],
			}
		}
		if got["who"] != [3]int64{1, 0, 0} || got["fail"] != [3]int64{0, 1, 1} {
			t.Errorf("%v side: %v", side.side, got)
		}
	}
}

// If every caller of a chain retried, the attempts would multiply: only the first caller retries
// failures that cost the servers work.
func TestNoRetryOfARetry(t *testing.T) {
	s := serve(t, ServerConfig{Interceptors: []ServerInterceptor{
		func(context.Context, *CallInfo, func(context.Context) error) error {
			return &Error{Code: Overloaded}
		}}, Health: nil}, &handler{})
	var attempts []int
	c := client(t, ClientConfig{Resolver: counting{Static(s.endpoint()), &attempts}})
	call := stub(t, c, ServiceOptions{Retries: new(3), Timeout: 10 * time.Second})
	_, err := call().Who(t.Context())
	wantCode(t, err, Overloaded, NotExecuted)
	if fmt.Sprint(attempts) != "[1 2 3 4]" {
		t.Errorf("attempts %v", attempts)
	}
	attempts = nil
	retried := context.WithValue(t.Context(), infoKey{}, &CallInfo{Attempt: 2})
	_, err = call().Who(retried)
	wantCode(t, err, Overloaded, NotExecuted)
	if fmt.Sprint(attempts) != "[1]" {
		t.Errorf("attempts for a call that is itself a retry: %v", attempts)
	}
}

// counting records the attempts for which an endpoint was picked.
type counting struct {
	Resolver
	attempts *[]int
}

func (c counting) Resolve(s string) Picker { return countingPicker{c.Resolver.Resolve(s), c.attempts} }

type countingPicker struct {
	Picker
	attempts *[]int
}

func (c countingPicker) Pick(ctx context.Context, call *Call) (*Endpoint, error) {
	e, err := c.Picker.Pick(ctx, call)
	if err == nil {
		*c.attempts = append(*c.attempts, call.Attempt)
	}
	return e, err
}

func TestMutualTLS(t *testing.T) {
	ca, pool := authority(t)
	cert := ca(t, "127.0.0.1")
	s := serve(
		t,
		ServerConfig{
			TLS: &tls.Config{
				Certificates: []tls.Certificate{cert},
				ClientAuth:   tls.RequireAndVerifyClientCert,
				ClientCAs:    pool,
			},
		},
		&handler{name: "safe"},
	)
	e := s.endpoint()
	e.TLS = true
	for name, tc := range map[string]struct {
		conf *tls.Config
		ok   bool
	}{
		"both sides known": {&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{ca(t, "client")}}, true},
		"no client cert":   {&tls.Config{RootCAs: pool}, false},
		"server not known": {&tls.Config{RootCAs: x509.NewCertPool(),
			Certificates: []tls.Certificate{ca(t, "client")}}, false},
		"no configuration": {nil, false},
		"another host name": {&tls.Config{RootCAs: pool, ServerName: "10.9.9.9",
			Certificates: []tls.Certificate{ca(t, "client")}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			call := stub(
				t,
				client(t, ClientConfig{TLS: tc.conf, ConnectTimeout: 2 * time.Second}, e),
				ServiceOptions{Timeout: 5 * time.Second},
			)
			who, err := call().Who(t.Context())
			if tc.ok && (err != nil || who != "safe") {
				t.Errorf("%q, %v", who, err)
			}
			if !tc.ok {
				wantCode(t, err, Unreachable, NotExecuted)
				return
			}
			var wg sync.WaitGroup
			for i := range 200 {
				wg.Go(func() {
					if m, err := call().Echo(t.Context(), message(i)); err != nil || m.Number != int64(i) {
						t.Errorf("%v, %v", m, err)
					}
				})
			}
			wg.Wait()
		})
	}
	plain := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
	_, err := plain().Who(t.Context())
	wantCode(t, err, Unreachable, NotExecuted)
}

// authority is a certificate authority of the test.
func authority(t *testing.T) (issue func(*testing.T, string) tls.Certificate, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "root"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(signed)
	return func(t *testing.T, name string) tls.Certificate {
		t.Helper()
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = []net.IP{ip}
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, signed, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}, pool
}
