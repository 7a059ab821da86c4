package tlsfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signing is an authority.
func signing(t *testing.T, to time.Time) *tls.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: to.Add(-48 * time.Hour), NotAfter: to, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestMake: a certificate proves its names and addresses, by itself and by an authority, as long as it says, and its
// file holds its key.
func TestMake(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	addr := netip.MustParseAddr("10.20.0.1")
	r := Request{Names: []string{"console.hall"}, Addresses: []netip.Addr{addr}, From: now.Add(-24 * time.Hour),
		To: now.AddDate(0, 0, 825)}
	text, own, err := Make(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.pem")
	os.WriteFile(path, text, 0o600)
	if pair, err := tls.LoadX509KeyPair(path, path); err != nil || !pair.Leaf.Equal(own) {
		t.Errorf("the file: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(own)
	for _, name := range []string{"console.hall", "10.20.0.1"} {
		if _, err := own.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if own.IsCA || !SignsItself(own) || !own.NotAfter.Equal(r.To.UTC()) {
		t.Errorf("an authority: %v, signs itself: %v, until %v", own.IsCA, SignsItself(own), own.NotAfter)
	}
	if f := Fingerprint(own); len(f) != 95 || strings.Count(f, ":") != 31 {
		t.Errorf("the fingerprint is %s", f)
	}
	ca := signing(t, now.Add(time.Hour))
	r.CA = ca
	text, signed, err := Make(r)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	if _, err := signed.Verify(x509.VerifyOptions{Roots: pool, DNSName: "console.hall"}); err != nil {
		t.Error(err)
	}
	if SignsItself(signed) || signed.NotAfter.After(ca.Leaf.NotAfter) ||
		strings.Count(string(text), "CERTIFICATE") != 2 {
		t.Errorf("until %v, the authority until %v", signed.NotAfter, ca.Leaf.NotAfter)
	}
}

// TestMakeRefuses: a request that no browser would take is an error.
func TestMakeRefuses(t *testing.T) {
	_, own, err := Make(Request{Names: []string{"a"}, To: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ca := signing(t, time.Now().Add(time.Hour))
	late := ca.Leaf.NotAfter.Add(time.Hour)
	for what, r := range map[string]Request{
		"nothing":          {},
		"two words":        {Names: []string{"a b"}},
		"empty labels":     {Names: []string{"a..b"}},
		"no authority":     {Names: []string{"a"}, CA: &tls.Certificate{Leaf: own}},
		"an old authority": {Names: []string{"a"}, From: late, CA: ca},
	} {
		if _, _, err := Make(r); err == nil {
			t.Errorf("%s makes a certificate", what)
		}
	}
}
