package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificate is the path of the certificate of a server with TLS. It is self-signed.
func (s *Server) Certificate() string { return filepath.Join(s.data(), "server.crt") }

// certify makes the server's certificate and key in the server's default places.
func (s *Server) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(
			1), Subject: pkix.Name{CommonName: "database"}, IPAddresses: []net.IP{net.ParseIP(s.Host)},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err1 := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	private, err2 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for path, block := range map[string]*pem.Block{
		s.Certificate():                       {Type: "CERTIFICATE", Bytes: cert},
		filepath.Join(s.data(), "server.key"): {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := errors.Join(os.WriteFile(path, pem.EncodeToMemory(block), 0o600), s.user.own(path)); err != nil {
			return err
		}
	}
	return nil
}
