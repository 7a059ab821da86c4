package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/registry"
)

// Membership is what makes a host a part of a site. It holds the site's key.
type Membership struct {
	Cluster  string   `json:"cluster"`
	Mode     string   `json:"mode"` // of discovery
	Seeds    []string `json:"seeds,omitempty"`
	Port     int      `json:"port,omitempty"`     // of the LAN, 0: the default
	Ports    int      `json:"ports,omitempty"`    // the same
	Database string   `json:"database,omitempty"` // URL

	Keys      string `json:"keys"`      // text of a file of site keys
	Operators string `json:"operators"` // text of the file of operators
	Builders  string `json:"builders,omitempty"`

	Authority   string `json:"authority,omitempty"`   // certificate, PEM
	Certificate string `json:"certificate,omitempty"` // of the host, PEM
}

// String names the site, and shows no key.
func (m Membership) String() string { return "membership of " + m.Cluster }

// GoString is String.
func (m Membership) GoString() string { return m.String() }

// Check reports the first thing that is wrong with a membership.
func (m Membership) Check() error {
	if err := registry.CheckName("cluster", m.Cluster); err != nil {
		return err
	}
	if _, err := sitekey.ParseList(m.Keys); err != nil {
		return fmt.Errorf("the site's key: %w", err)
	}
	if m.Operators == "" {
		return errors.New("the site names no operators, so no plan could be obeyed: skerry operator add")
	}
	if _, err := sshsig.ParseOperators("operators", m.Operators); err != nil {
		return err
	}
	if m.Builders != "" {
		if _, err := sshsig.ParseOperators("builders", m.Builders); err != nil {
			return err
		}
	}
	return nil
}

// The validity of an authority and of what it signs: sites without a time server have clocks that are years behind.
var (
	validFrom = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	validTo   = time.Date(2099, 12, 31, 0, 0, 0, 0, time.UTC)
)

// NewAuthority makes the certificate and the key of a site's authority, in PEM.
func NewAuthority(cluster string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // browsers take no Ed25519
	if err != nil {
		return nil, nil, err
	}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "skerry " + cluster}, NotBefore: validFrom, NotAfter: validTo,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(private)
	return certificatePEM(der), key, err
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// NewRequest makes the private key of a host, in PEM, and the request for its certificate.
func NewRequest(host string) (key, request []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	request, err = x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}}, private)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(private)
	return key, request, err
}

// Sign is the certificate of a host by the authority, in PEM. Of the request it takes the public key alone.
func Sign(authority *tls.Certificate, request []byte, host string, addresses ...netip.Addr) ([]byte, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("the request for a certificate: %w", err)
	}
	ca := authority.Leaf
	if ca == nil || !ca.IsCA {
		return nil, errors.New("the certificate of the authority may not sign others")
	}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: ca.NotBefore,
		NotAfter: ca.NotAfter, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, a := range addresses {
		if a.IsValid() {
			c.IPAddresses = append(c.IPAddresses, net.IP(a.Unmap().WithZone("").AsSlice()))
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, r.PublicKey, authority.PrivateKey)
	return certificatePEM(der), err
}
