package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/tlsfile"
)

func TestBadCertificatesAreNamed(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	make := func(name string, from, to time.Time, ca *x509.Certificate,
		caKey *ecdsa.PrivateKey) (config.TLS, *x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotBefore: from, NotAfter: to,
			IsCA: ca == nil, BasicConstraintsValid: true}
		if ca == nil {
			ca, caKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return config.TLS{Cert: write(name+".pem", "CERTIFICATE", der),
			Key: write(name+".key", "PRIVATE KEY", secret)}, c, key
	}
	year := 365 * 24 * time.Hour
	site, ca, caKey := make("ca", now.Add(-year), now.Add(year), nil, nil)
	_, other, otherKey := make("other", now.Add(-year), now.Add(year), nil, nil)
	for name, test := range map[string]struct {
		from, to time.Time
		ca       *x509.Certificate
		key      *ecdsa.PrivateKey
		level    Level
		part     string
	}{
		"good":     {now.Add(-time.Hour), now.Add(year / 2), ca, caKey, Fine, "is valid until"},
		"expired":  {now.Add(-2 * time.Hour), now.Add(-time.Hour), ca, caKey, Problem, "has expired"},
		"early":    {now.Add(time.Hour), now.Add(year / 2), ca, caKey, Problem, "clock"},
		"soon":     {now.Add(-5 * time.Hour), now.Add(time.Hour), ca, caKey, Hint, "expires on"},
		"stranger": {now.Add(-time.Hour), now.Add(year / 2), other, otherKey, Problem, "unknown authority"},
	} {
		c, _, _ := make(name, test.from, test.to, test.ca, test.key)
		c.CA = site.Cert
		list := Certificate(c, now)
		if len(list) != 1 || list[0].Level != test.level ||
			!strings.Contains(string(list[0].Text+list[0].Do), test.part) {
			t.Errorf("%s: %+v", name, list)
		}
	}
	if list := Certificate(config.TLS{}, now); len(list) > 0 {
		t.Errorf("without tls: %+v", list)
	}
}

// TestConsoleCertificate: a certificate of the console is looked at where there is one.
func TestConsoleCertificate(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "console-tls.pem"), time.Now()
	if list := ConsoleCertificate(path, now); len(list) > 0 {
		t.Errorf("without one: %+v", list)
	}
	text, leaf, err := tlsfile.Make(tlsfile.Request{Names: []string{"console.hall"}, From: now,
		To: now.AddDate(0, 0, 825)})
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(path, text, 0o600)
	for at, level := range map[time.Time]Level{now.Add(time.Hour): Fine, leaf.NotAfter.AddDate(0, 0, -20): Hint,
		leaf.NotAfter.Add(time.Hour): Problem} {
		if list := ConsoleCertificate(path, at); len(list) != 1 || list[0].Level != level {
			t.Errorf("%v: %+v", at, list)
		}
	}
	os.WriteFile(path, text[:100], 0o600)
	if list := ConsoleCertificate(path, now); len(list) != 1 || list[0].Level != Problem {
		t.Errorf("a damaged one: %+v", list)
	}
}
