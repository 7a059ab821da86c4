package skerry

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign},
		nil)
	a.write("ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) sign(c *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "skerry test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// three are the three configuration lines of a process of the site.
func (a *authority) three(name string) config.TLS {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return config.TLS{Cert: a.write(name+".pem", "CERTIFICATE", cert.Raw),
		Key: a.write(name+".key", "EC PRIVATE KEY", der), CA: filepath.Join(a.dir, "ca.pem")}
}

// TestMutualTLS: three lines encrypt the calls and keep strangers out.
func TestMutualTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	open1 := ours.three("provider")
	open1.Clients = "none"
	for _, c := range []struct {
		name               string
		provider, consumer config.TLS
		ok                 bool
	}{
		{"mutual", ours.three("provider"), ours.three("consumer"), true},
		{"consumer without a certificate", ours.three("provider"), config.TLS{CA: ours.three("consumer").CA}, false},
		{"consumer of another authority", ours.three("provider"), theirs.three("consumer"), false},
		{"consumer that trusts nobody of ours", ours.three("provider"), config.TLS{}, false},
		{"any consumer may call", open1, config.TLS{CA: open1.CA}, true},
		{"providers in the clear are not called", config.TLS{}, ours.three("consumer"), false},
		{"unless that is allowed", config.TLS{}, config.TLS{CA: open1.CA, Providers: "any"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			site := lanSite(t)
			site.TLS = c.provider
			offering(t, site, &greeter{name: "anna"})
			site.TLS = c.consumer
			consumer := open(t, site)
			got, err := greet(t.Context(), consumer)
			if c.ok && (err != nil || got != "anna") {
				t.Errorf("got %q, %v", got, err)
			}
			if !c.ok && err == nil {
				t.Error("the call went through")
			}
			if e := consumer.Explain("greeter"); len(e) != 1 || e[0].TLS != (c.provider.Cert != "") {
				t.Errorf("want one entry, with TLS where the provider has it; got %+v", e)
			}
		})
	}
}

// TestRenewedCertificates replaces a site's authority and certificates under
// load, without a restart and without a failed call.
func TestRenewedCertificates(t *testing.T) {
	a := newAuthority(t)
	site := lanSite(t)
	site.Calls.ConnectTimeout = 5 * time.Second // the machine may be busy
	site.Consumers = map[string]config.Consumer{"greeter": {Timeout: 10 * time.Second}}
	site.TLS = a.three("provider")
	provider := offering(t, site, &greeter{name: "anna"})
	site.TLS = a.three("consumer")
	consumer := open(t, site)
	if _, err := greet(t.Context(), consumer); err != nil {
		t.Fatal(err)
	}
	shown := func() *x509.Certificate {
		conn, err := tls.Dial("tcp", provider.offers.addr().String(),
			&tls.Config{InsecureSkipVerify: true, Certificates: consumer.tls.Client().Certificates})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0]
	}
	before := shown()
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for ctx.Err() == nil {
			fresh := open(t, site) // makes connections of its own
			if _, err := greet(t.Context(), fresh); err != nil {
				t.Errorf("a new consumer: %v", err)
			}
			fresh.Close()
			for range 20 {
				if _, err := greet(t.Context(), consumer); err != nil {
					t.Errorf("a consumer that has been there: %v", err)
				}
			}
		}
	})
	if err := os.WriteFile(site.TLS.CA[:len(site.TLS.CA)-len("ca.pem")]+"provider.key", []byte("half"),
		0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // during which the half-written pair is read
	if !shown().Equal(before) {
		t.Error("a half-written pair is shown")
	}
	a.three("provider")
	a.three("consumer")
	eventually(t, "the port shows the new certificate", func() bool { return !shown().Equal(before) })
	stop()
	load.Wait()
}
