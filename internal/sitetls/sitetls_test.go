package sitetls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func seed(n byte) []byte { return bytes.Repeat([]byte{n}, ed25519.SeedSize) }

func seeds(all ...byte) func() [][]byte {
	var out [][]byte
	for _, n := range all {
		out = append(out, seed(n))
	}
	return func() [][]byte { return out }
}

func site(t testing.TB, cluster, owner string, keys func() [][]byte) *Site {
	t.Helper()
	s, err := New(Config{Cluster: cluster, Owner: owner, Seeds: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pair is two ends of a TCP connection on loopback.
func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err == nil {
		b, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// shake makes a handshake; the server then sends a byte.
func shake(t testing.TB, client, server *tls.Config) (c, s tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	a, b := pair(t)
	defer a.Close()
	defer b.Close()
	end := time.Now().Add(10 * time.Second)
	_, _ = a.SetDeadline(end), b.SetDeadline(end)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := tls.Server(b, server)
		if serverErr = t.Handshake(); serverErr == nil {
			s = t.ConnectionState()
			_, serverErr = t.Write([]byte{1})
		}
		if serverErr != nil {
			_ = b.Close()
		}
	}()
	tc := tls.Client(a, client)
	if clientErr = tc.Handshake(); clientErr == nil {
		c = tc.ConnectionState()
		_, clientErr = tc.Read(make([]byte, 1))
	}
	if clientErr != nil {
		_ = a.Close()
	}
	<-done
	return c, s, clientErr, serverErr
}

func TestHandshake(t *testing.T) {
	const a, b, c = "host-a/1/e1", "host-b/2/e2", "host-c/3/e3"
	// The site of this process (b) verifies keys 1 and 2 and signs with 1.
	for _, test := range []struct {
		name    string
		client  *Site
		meant   string
		wrong   string // in the error of either side; "" = a connection
		connect bool
	}{
		{name: "a member", client: site(t, "x", a, seeds(1)), connect: true},
		{name: "the process that is meant", client: site(t, "x", a, seeds(1)), meant: b, connect: true},
		{name: "another key of the ring", client: site(t, "x", a, seeds(2, 1)), connect: true},
		{name: "an odd host name", client: site(t, "x", "host b%/2/e", seeds(1)), connect: true},
		{name: "another process than meant", client: site(t, "x", a, seeds(1)), meant: c, wrong: "meant is " + c},
		{name: "a key that the server does not know", client: site(t, "x", a, seeds(3, 1)),
			wrong: "none of the 2 site keys"},
		{name: "a key that the client does not know", client: site(t, "x", a, seeds(2)),
			wrong: "none of the 1 site keys"},
		{name: "another cluster", client: site(t, "y", a, seeds(1)), wrong: "cluster"},
		{name: "reflection", client: site(t, "x", b, seeds(1)), wrong: "own"},
		{name: "no key", client: site(t, "x", a, seeds()), wrong: "no site key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := site(t, "x", b, seeds(1, 2))
			cs, ss, clientErr, serverErr := shake(t, test.client.Client(test.meant), server.Server())
			if !test.connect {
				text := errors.Join(clientErr, serverErr).Error()
				if clientErr == nil || !strings.Contains(text, test.wrong) {
					t.Fatalf("client: %v; server: %v; want both to fail, by %q", clientErr, serverErr, test.wrong)
				}
				return
			}
			if clientErr != nil || serverErr != nil {
				t.Fatalf("client: %v; server: %v", clientErr, serverErr)
			}
			if owner, err := PeerOwner(ss); err != nil || owner != test.client.cfg.Owner {
				t.Errorf("the server sees %q, %v", owner, err)
			}
			if owner, err := PeerOwner(cs); err != nil || owner != b {
				t.Errorf("the client sees %q, %v", owner, err)
			}
			if cs.Version != tls.VersionTLS13 || cs.CurveID != tls.X25519 || cs.NegotiatedProtocol != ALPN ||
				cs.DidResume {
				t.Errorf("the connection is %x %v %q", cs.Version, cs.CurveID, cs.NegotiatedProtocol)
			}
		})
	}
}

// A rotation adds a key, moves it to the front and removes it. It cuts no process off, whichever
// process learns of a step first.
func TestRotation(t *testing.T) {
	var ringA, ringB atomic.Pointer[[][]byte]
	from := func(p *atomic.Pointer[[][]byte]) func() [][]byte { return func() [][]byte { return *p.Load() } }
	set := func(p *atomic.Pointer[[][]byte], keys ...byte) { ring := seeds(keys...)(); p.Store(&ring) }
	set(&ringA, 1)
	set(&ringB, 1)
	a, b := site(t, "x", "a/1/1", from(&ringA)), site(t, "x", "b/1/1", from(&ringB))
	ca, sa, cb, sb := a.Client(""), a.Server(), b.Client(""), b.Server()
	check := func() {
		t.Helper()
		if _, _, e1, e2 := shake(t, ca, sb); e1 != nil || e2 != nil {
			t.Errorf("a to b: %v, %v", e1, e2)
		}
		if _, _, e1, e2 := shake(t, cb, sa); e1 != nil || e2 != nil {
			t.Errorf("b to a: %v, %v", e1, e2)
		}
	}
	check()
	_, stands, _, _ := shake(t, cb, sa) // to b, by the first key
	before := a.Ring()
	if a.Ring() != before {
		t.Error("the ring changes without a change of the keys")
	}
	for _, step := range [][]byte{{1, 2}, {2, 1}, {2}} {
		set(&ringA, step...)
		check()
		set(&ringB, step...)
		check()
		if err := a.Verify(stands); (err == nil) != slices.Contains(step, 1) {
			t.Errorf("with the keys %v, a connection that stands by key 1: %v", step, err)
		}
	}
	if a.Ring() == before {
		t.Error("the ring does not change with the keys")
	}
	old := site(t, "x", "c/1/1", seeds(1))
	if _, _, e1, e2 := shake(t, old.Client(""), sa); e1 == nil || e2 == nil {
		t.Errorf("the key that was taken out still connects: %v, %v", e1, e2)
	}
}

// Certificates other than the package's own, signed by the site's root.
func TestCertificates(t *testing.T) {
	root := ed25519.NewKeyFromSeed(seed(1))
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := func() *x509.Certificate {
		u, err := address("x", "a/1/1")
		if err != nil {
			t.Fatal(err)
		}
		return &x509.Certificate{
			SerialNumber: big.NewInt(1),
			NotBefore:    alwaysFrom,
			NotAfter:     alwaysTo,
			URIs:         []*url.URL{u},
		}
	}
	uri := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, test := range []struct {
		name   string
		change func(*x509.Certificate)
		twice  bool
		ok     bool
	}{
		{name: "ours", ok: true},
		// no clock is read
		{name: "long past", change: func(c *x509.Certificate) { c.NotAfter = time.Unix(1, 0) }, ok: true},
		{name: "two", twice: true},
		{name: "without URI", change: func(c *x509.Certificate) { c.URIs = nil }},
		{name: "two URIs", change: func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }},
		{name: "a name beside the URI", change: func(c *x509.Certificate) { c.DNSNames = []string{"b"} }},
		{name: "a short path", change: func(c *x509.Certificate) { c.URIs[0] = uri("skerry://x/a/1") }},
		{name: "a long path", change: func(c *x509.Certificate) { c.URIs[0] = uri("skerry://x/a/1/1/1") }},
		{name: "another scheme", change: func(c *x509.Certificate) { c.URIs[0] = uri("https://x/a/1/1") }},
		{name: "a query", change: func(c *x509.Certificate) { c.URIs[0] = uri("skerry://x/a/1/1?q") }},
		{name: "large", change: func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Value: make([]byte, maxCertificate)}}
		}},
		{name: "a critical extension that is not known", change: func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := good()
			if test.change != nil {
				test.change(c)
			}
			der, err := x509.CreateCertificate(rand.Reader, c, &x509.Certificate{}, pub, root)
			if err != nil {
				t.Fatal(err)
			}
			s := site(t, "x", "b/1/1", seeds(1))
			chain := [][]byte{der}
			if test.twice {
				chain = append(chain, der)
			}
			conf := s.Client("")
			conf.VerifyConnection = nil
			conf.GetClientCertificate = nil
			conf.Certificates = []tls.Certificate{{Certificate: chain, PrivateKey: key}}
			_, _, e1, e2 := shake(t, conf, s.Server())
			if ok := e1 == nil && e2 == nil; ok != test.ok {
				t.Errorf("client: %v; server: %v; want connected: %v", e1, e2, test.ok)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	for _, owner := range []string{"", "a", "a/1", "a//1", "a/1/1/1"} {
		if _, err := New(Config{Cluster: "x", Owner: owner, Seeds: seeds(1)}); err == nil {
			t.Errorf("process %q is taken", owner)
		}
	}
	for _, cluster := range []string{"", "a/b", "a@b", "a?b"} {
		if _, err := New(Config{Cluster: cluster, Owner: "a/1/1", Seeds: seeds(1)}); err == nil {
			t.Errorf("cluster %q is taken", cluster)
		}
	}
	for _, cluster := range []string{"default", "site_7", "a.b", "A-1"} {
		a, b := site(t, cluster, "a/1/1", seeds(1)), site(t, cluster, "b/1/1", seeds(1))
		if _, _, e1, e2 := shake(t, a.Client(""), b.Server()); e1 != nil || e2 != nil {
			t.Errorf("cluster %q: %v, %v", cluster, e1, e2)
		}
	}
	s := site(t, "x", "a/1/1", func() [][]byte { return [][]byte{{1}} })
	if _, err := s.certificate(); err == nil {
		t.Error("a seed of one byte is taken")
	}
}

func FuzzURI(f *testing.F) {
	f.Add("skerry://x/a/1/1")
	f.Add("skerry://x/a%2f/1/1")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		cluster, owner, err := split(u)
		if err == nil && (cluster == "" || strings.Count(owner, "/") != 2) {
			t.Errorf("%q is cluster %q, process %q", text, cluster, owner)
		}
	})
}

// BenchmarkHandshake measures the processor time of both ends together.
func BenchmarkHandshake(b *testing.B) {
	client, server := site(b, "x", "a/1/1", seeds(1)).Client("b/1/1"), site(b, "x", "b/1/1", seeds(1)).Server()
	for b.Loop() {
		if _, _, e1, e2 := shake(b, client, server); e1 != nil || e2 != nil {
			b.Fatal(e1, e2)
		}
	}
}
