package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pairOf returns a new self-signed certificate of 127.0.0.1 and its key, as the content
// of files.
func pairOf(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true,

		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text})
}

// TestGatewayRenewsCertificates replaces the certificate of a gateway's port under
// requests, on new connections and on open ones. The new key is written in halves, and
// the certificate after it. No request fails, and new connections get the new certificate.
func TestGatewayRenewsCertificates(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
	defer web.Close()
	dir, addr := t.TempDir(), freeAddr(t)
	certFile, keyFile := filepath.Join(dir, "www.pem"), filepath.Join(dir, "www.key")
	put := func(path string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusted := x509.NewCertPool()
	cert, key := pairOf(t, 1)
	cert2, key2 := pairOf(t, 2)
	trusted.AppendCertsFromPEM(cert)
	trusted.AppendCertsFromPEM(cert2)
	put(certFile, cert)
	put(keyFile, key)
	config := site(t, fmt.Sprintf("state_dir: none\ngateway:\n  routes: [{path: /, service: web}]\n  listen: %q\n"+
		"  tls: {cert: %q, key: %q}\n", addr, certFile, keyFile))
	program(t, "announce", "--config", config, "--service", "web", "--version", "v1",
		"--addr", web.Listener.Addr().String(), "--protocol", "http", "--check", "http:/")
	program(t, "gateway", "--config", config)

	users := func(http2, keep bool) *http.Client {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: http2,
			DisableKeepAlives: !keep}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport, Timeout: limit}
	}
	ask := func(c *http.Client) (serial int64, err error) {
		answer, err := c.Get("https://" + addr + "/x")
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err == nil && (answer.StatusCode != http.StatusOK || !bytes.Equal(text, []byte("hello"))) {
			err = fmt.Errorf("%d %s", answer.StatusCode, text)
		}
		return answer.TLS.PeerCertificates[0].SerialNumber.Int64(), err
	}
	fresh := users(false, false)
	eventually(t, "the gateway serves it", func() bool { _, err := ask(fresh); return err == nil })

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	var requests atomic.Int64
	for _, c := range []*http.Client{users(false, true), users(true, true), users(false, false), users(true, false)} {
		load.Go(func() {
			for ctx.Err() == nil {
				if _, err := ask(c); err != nil {
					t.Errorf("a request while certificates are renewed: %v", err)
				}
				requests.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	come := func(what string, more int64) {
		t.Helper()
		before := requests.Load()
		eventually(t, what, func() bool { return requests.Load() >= before+more })
	}
	shown := func(serial int64) bool {
		is, err := ask(fresh)
		if err != nil {
			t.Errorf("a new connection: %v", err)
		}
		return is == serial
	}
	come("requests come", 40)
	put(keyFile, key2[:len(key2)/2])
	time.Sleep(3 * time.Second) // the gateway meets the half-written pair
	put(keyFile, key2)
	time.Sleep(3 * time.Second) // the gateway meets a pair that does not match
	if !shown(1) {
		t.Error("a pair is shown that was not complete")
	}
	put(certFile, cert2)
	eventually(t, "the port shows the new certificate", func() bool { return shown(2) })
	come("requests go on", 40)
	stop()
	load.Wait()
	t.Logf("%d requests", requests.Load())
}
