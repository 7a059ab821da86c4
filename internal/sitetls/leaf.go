package sitetls

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// The validity of certificates. It never ends, because an expiry would stop a site with wrong
// clocks.
var (
	alwaysFrom = time.Unix(0, 0).UTC()
	alwaysTo   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// sign makes the certificate of this process.
func (s *Site) sign(root ed25519.PrivateKey) (tls.Certificate, error) {
	uri, err := address(s.cfg.Cluster, s.cfg.Owner)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    alwaysFrom,
		NotAfter:     alwaysTo,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:         []*url.URL{uri},
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "skerry site"}}
	der, err := x509.CreateCertificate(nil, template, issuer, s.leaf.Public(), root)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("site connections: sign a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s.leaf}, nil
}
