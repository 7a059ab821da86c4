package gateway_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/health"
)

// obey makes a text the policy of a node. plan is switched on, "" for none; the node goes back by itself after confirm,
// 0 for never.
func obey(t *testing.T, n *skerry.Node, text, plan string, confirm time.Duration) {
	t.Helper()
	held := n.Membership().Policy()
	e := held.Log().Next("policy: 1\n" + text)
	e.Confirm = confirm
	if e.On = nil; plan != "" {
		e.On = slices.Grow(e.On, 1)[:1]
		e.On[0].Name, e.On[0].Since = plan, e.Number
	}
	e, err := e.Seal()
	if err == nil {
		_, err = held.Learn(nil, nil, e)
	}
	if err != nil {
		t.Fatal(err)
	}
	if lost := held.Status().Lost; len(lost) > 0 {
		t.Fatalf("not understood: %v", lost)
	}
}

// enforcing is a policy with the access of web.
func enforcing(access string) string {
	return "services: {web: {access: {mode: enforce, " + access + "}}}"
}

// outcomesOf counts the requests to web by outcome.
func outcomesOf(n *skerry.Node) map[health.Outcome]int64 {
	all := map[health.Outcome]int64{}
	n.Stats().Visit(func(row health.Row, _ func(time.Duration) int64) {
		if row.Side == health.Client && row.Service == "web" {
			for outcome, calls := range row.Outcomes {
				all[health.Outcome(outcome)] += calls
			}
		}
	})
	return all
}

// TestPolicyAccessOfHTTPServices: the gateway refuses by address, method, lane and version what the site's policy
// denies at an HTTP service, before the service sees anything of it; audit lets it pass; only proxies that are trusted
// say for which user they ask.
func TestPolicyAccessOfHTTPServices(t *testing.T) {
	s := newSite(t)
	var served atomic.Int64
	s.web(s.node, "v1", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	s.append(nil, only("v1", "web"))
	edge := s.gate()
	behind := s.gate(func(c *gateway.Config) { c.TrustedProxies = []string{"127.0.0.0/8"} })
	const lane = "lanes: [{name: inner, match: {path: /admin*}}]\n"
	from := []string{"X-Forwarded-For", "10.9.9.9"}
	for name, c := range map[string]struct {
		access, method, path string
		edge                 *httptest.Server
		header               []string
		want                 int
	}{
		"allowed":             {`deny: [{caller: "ip:10.*"}]`, "GET", "/", edge, nil, 200},
		"denied":              {`deny: [{caller: "ip:127.*"}]`, "GET", "/", edge, nil, 403},
		"its body is unread":  {`deny: [{caller: "ip:127.*"}]`, "POST", "/", edge, nil, 403},
		"another method":      {`deny: [{method: DELETE}]`, "GET", "/", edge, nil, 200},
		"a method":            {`deny: [{method: DELETE}]`, "DELETE", "/", edge, nil, 403},
		"an odd method":       {`deny: [{method: other}]`, "MKCOL", "/", edge, nil, 403},
		"by default":          {`default: deny, allow: [{method: POST}]`, "GET", "/", edge, nil, 403},
		"of a lane":           {`deny: [{mark: inner}]`, "GET", "/admin/x", edge, nil, 403},
		"of another lane":     {`deny: [{mark: inner}]`, "GET", "/x", edge, nil, 200},
		"of a version":        {`deny: [{version: v1}]`, "GET", "/", edge, nil, 403},
		"of another version":  {`deny: [{version: v2}]`, "GET", "/", edge, nil, 200},
		"of a tenant":         {`deny: [{tenant: t7}]`, "GET", "/", edge, []string{"Baggage", "tenant=t7"}, 403},
		"a user says address": {`deny: [{caller: "ip:10.9.9.9"}]`, "GET", "/", edge, from, 200},
		"a proxy says it":     {`deny: [{caller: "ip:10.9.9.9"}]`, "GET", "/", behind, from, 403},
	} {
		if !strings.HasPrefix(c.access, "default") {
			c.access = "default: allow, " + c.access
		}
		obey(t, s.node, lane+enforcing(c.access), "", 0)
		before, counted := served.Load(), outcomesOf(s.node)[health.Denied]
		status, text := ask(t, c.method, c.edge.URL+c.path, strings.Repeat("x", 100_000), c.header...)
		executed, denied := served.Load()-before, outcomesOf(s.node)[health.Denied]-counted
		refused := int64(0)
		if c.want == 403 {
			refused = 1
		}
		if status != c.want || executed != 1-refused || denied != refused {
			t.Errorf("%s: %d %s, executed %d, counted as denied %d", name, status, text, executed, denied)
		}
		if strings.Contains(text, "ip:") || strings.Contains(text, "access") {
			t.Errorf("%s: the user reads of the policy: %s", name, text)
		}
	}
	obey(t, s.node, "services: {web: {access: {mode: audit, default: deny}}}\n", "", 0)
	if status, text := ask(t, "GET", edge.URL, ""); status != 200 {
		t.Errorf("audit: %d %s", status, text)
	}
}

// certificateOf is a certificate of a user, signed by itself.
func certificateOf(t *testing.T, name string) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	pattern := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(nil, pattern, pattern, public, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}
}

// TestPolicyKnowsUsersByCertificate: where TLS has verified a user's certificate, the user has its name.
func TestPolicyKnowsUsersByCertificate(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "v1", says("served"))
	g, err := gateway.New(s.node, gateway.Config{Logger: quiet,
		Gateway: config.Gateway{Routes: []config.Route{{Path: "/", Service: "web"}}}})
	if err != nil {
		t.Fatal(err)
	}
	edge := httptest.NewUnstartedServer(g)
	edge.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool()}
	edge.StartTLS()
	defer edge.Close()
	user := certificateOf(t, "anna")
	edge.TLS.ClientCAs.AddCert(user.Leaf)
	obey(t, s.node, enforcing("default: deny, allow: [{caller: anna}]"), "", 0)
	transport := edge.Client().Transport.(*http.Transport)
	for _, c := range []struct {
		certificates []tls.Certificate
		want         int
	}{{nil, 403}, {[]tls.Certificate{user}, 200}} {
		with := transport.Clone()
		with.TLSClientConfig.Certificates = c.certificates
		answer, err := (&http.Client{Transport: with}).Get(edge.URL)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		with.CloseIdleConnections()
		if answer.StatusCode != c.want {
			t.Errorf("with %d certificates: %d", len(c.certificates), answer.StatusCode)
		}
	}
}

// TestPolicyLimitsOfHTTPServices: requests and WebSockets over a limit get 429, with the time after which to try again
// where it is a rate's. A limit follows plans and goes back without confirmation.
func TestPolicyLimitsOfHTTPServices(t *testing.T) {
	s := newSite(t)
	var served atomic.Int64
	held, free := make(chan bool), make(chan bool)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { served.Add(1) })
	mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { held <- true; <-free })
	mux.Handle("/talk", websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }))
	s.web(s.node, "v1", mux)
	edge := s.gate()
	get := func() int {
		status, _ := ask(t, "GET", edge.URL, "")
		return status
	}
	eventually := func(what string, want int) {
		t.Helper()
		for begun := time.Now(); get() != want; time.Sleep(5 * time.Millisecond) {
			if time.Since(begun) > 10*time.Second {
				t.Fatalf("%s: the status is not %d", what, want)
			}
		}
	}

	obey(t, s.node, "services: {web: {limits: [{match: {method: GET}, rate: 1, burst: 2, per: site}]}}\n", "", 0)
	for n := range 2 {
		if status := get(); status != 200 {
			t.Errorf("request %d of a burst of 2: %d", n+1, status)
		}
	}
	if status, _ := ask(t, "POST", edge.URL, "x"); status != 200 {
		t.Errorf("another method: %d", status)
	}
	refused := false
	for range 10 {
		answer, err := http.Get(edge.URL)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 429 {
			continue
		}
		refused = true
		if after, err := strconv.Atoi(answer.Header.Get("Retry-After")); err != nil || after != 1 {
			t.Errorf("Retry-After %q", answer.Header.Get("Retry-After"))
		}
	}
	if n := outcomesOf(s.node); !refused || n[health.Limited] == 0 || n[health.OK]+n[health.Limited] != 13 {
		t.Errorf("10 more requests at a rate of one a second; counted: %v", n)
	}

	pending := "services: {web: {limits: [{pending: 1, per: site}]}}\n"
	obey(t, s.node, pending, "", 0)
	slow := make(chan int)
	go func() {
		status, _ := ask(t, "GET", edge.URL+"/slow", "")
		slow <- status
	}()
	<-held
	if status := get(); status != 429 {
		t.Errorf("beside a request: %d", status)
	}
	obey(t, s.node, "services: {}\n", "", 0)
	if status := get(); status != 200 {
		t.Errorf("without the limit: %d", status)
	}
	obey(t, s.node, pending, "", 0)
	if status := get(); status != 429 {
		t.Errorf("the request that runs counts no more: %d", status)
	}
	free <- true
	if status := <-slow; status != 200 {
		t.Errorf("the request that ran: %d", status)
	}
	eventually("behind the request", 200)
	var c *websocket.Conn
	for end := time.Now().Add(10 * time.Second); c == nil; time.Sleep(time.Millisecond) {
		var err error // the request before has its answer a moment before its place is free
		c, err = websocket.Dial("ws"+strings.TrimPrefix(edge.URL, "http")+"/talk", "", edge.URL)
		if err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if status := get(); status != 429 {
		t.Errorf("beside a WebSocket: %d", status)
	}
	c.Close()
	eventually("behind the WebSocket", 200)

	plan := "services: {}\nplans: {storm: {" + enforcing("default: allow, deny: [{method: GET}]") + "}}\n"
	for _, on := range []string{"", "storm", ""} {
		obey(t, s.node, plan, on, 0)
		if status := get(); status != map[string]int{"": 200, "storm": 403}[on] {
			t.Errorf("plan %q: %d", on, status)
		}
	}
	obey(t, s.node, enforcing("default: allow, deny: [{method: GET}]"), "", 300*time.Millisecond)
	eventually("not confirmed yet", 403)
	eventually("not confirmed in time", 200)
}

// TestGatewaysShareLimits: each of two gateways lets its share of a limit pass, and all of it when it is alone again.
func TestGatewaysShareLimits(t *testing.T) {
	s := newSite(t)
	held, free := make(chan bool), make(chan bool)
	s.web(s.node, "v1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			held <- true
			<-free
		}
	}))
	edge := s.gate()
	other := s.open(config.Service{})
	if _, err := gateway.New(other, gateway.Config{Logger: quiet,
		Gateway: config.Gateway{Routes: []config.Route{{Path: "/", Service: "web"}}}}); err != nil {
		t.Fatal(err)
	}
	know := func(n *skerry.Node, gateways int) {
		t.Helper()
		for begun := time.Now(); n.Membership().Gateways() != gateways; time.Sleep(5 * time.Millisecond) {
			if time.Since(begun) > 20*time.Second {
				t.Fatalf("%d gateways are known, want %d", n.Membership().Gateways(), gateways)
			}
		}
	}
	know(s.node, 2)
	know(other, 2)
	obey(t, s.node, "services: {web: {limits: [{pending: 4, per: site}]}}\n", "", 0)
	answers := make(chan int)
	start := func() {
		go func() {
			status, _ := ask(t, "GET", edge.URL+"/slow", "")
			answers <- status
		}()
		<-held
	}
	start()
	start()
	if status, _ := ask(t, "GET", edge.URL, ""); status != 429 {
		t.Errorf("the third of four requests, at one of two gateways: %d", status)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	know(s.node, 1)
	start()
	start()
	if status, _ := ask(t, "GET", edge.URL, ""); status != 429 {
		t.Errorf("the fifth of four requests: %d", status)
	}
	for range 4 {
		free <- true
		if status := <-answers; status != 200 {
			t.Errorf("a request within the limit: %d", status)
		}
	}
}
