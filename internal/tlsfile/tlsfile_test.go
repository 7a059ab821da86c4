package tlsfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// makePair makes a certificate and key with a validity.
func makePair(t *testing.T, serial int64, from, to time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber:          big.NewInt(serial),
		NotBefore:             from,
		NotAfter:              to,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: der},
	), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// serial is the serial number of the certificate in both configurations.
func serial(t *testing.T, r *Reader) int64 {
	t.Helper()
	hello := &tls.ClientHelloInfo{}
	pair, err := r.Server().GetCertificate(hello)
	if err != nil {
		t.Fatal(err)
	}
	if conf, err := r.Server().GetConfigForClient(hello); err != nil ||
		conf != nil && conf.Certificates[0].Leaf != pair.Leaf {
		t.Errorf("the port's configurations differ: %v", err)
	}
	if client := r.Client().Certificates[0].Leaf; client != pair.Leaf {
		t.Error("client and port differ")
	}
	return pair.Leaf.SerialNumber.Int64()
}

func TestFilesThatChange(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	f := Files{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), CA: filepath.Join(dir, "ca")}
	put := func(n int64, cert, key, ca bool) {
		c, k := makePair(t, n, now.Add(-time.Hour), now.Add(1000*time.Hour))
		for path, text := range map[string][]byte{f.Cert: c, f.Key: k, f.CA: c} {
			if path == f.Cert && cert || path == f.Key && key || path == f.CA && ca {
				write(t, path, text)
			}
		}
	}
	put(1, true, true, true)
	r, err := New(f, "", true)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	pool := r.Client().RootCAs
	r.look(now, log)
	if serial(t, r) != 1 || text.Len() > 0 {
		t.Errorf("nothing has changed: %d, %s", serial(t, r), &text)
	}
	put(2, true, false, false) // its key is still missing
	for range 3 {
		r.look(now, log)
	}
	if serial(t, r) != 1 || strings.Count(text.String(), "\n") != 1 || !strings.Contains(text.String(), "not valid") {
		t.Errorf("half a pair: %d, %s", serial(t, r), &text)
	}
	text.Reset()
	put(3, true, true, true)
	r.look(now, log)
	if serial(t, r) != 3 || r.Client().RootCAs == pool || !strings.Contains(text.String(), "new connections use them") {
		t.Errorf("a whole pair: %d, %s", serial(t, r), &text)
	}
	if err := os.Remove(f.Key); err != nil {
		t.Fatal(err)
	}
	r.look(now, log)
	if serial(t, r) != 3 {
		t.Error("the pair is gone with a file")
	}
}

func TestEndOfACertificate(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	f := Files{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	c, k := makePair(t, 1, now.Add(-300*24*time.Hour), now.Add(31*24*time.Hour))
	write(t, f.Cert, c)
	write(t, f.Key, k)
	r, err := New(f, "", false)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	for day := range 34 {
		for range 10 {
			r.look(now.Add(time.Duration(day)*25*time.Hour), log)
		}
	}
	soon, over := strings.Count(text.String(), "expires soon"), strings.Count(text.String(), "has expired")
	if soon < 25 || soon > 30 || over < 3 || over > 5 {
		t.Errorf("said soon %d times, over %d times", soon, over)
	}
}
