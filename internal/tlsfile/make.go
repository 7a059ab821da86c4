package tlsfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Request says what a certificate of a server is for. It has one name or address at least.
type Request struct {
	Names     []string // of DNS
	Addresses []netip.Addr
	From, To  time.Time
	CA        *tls.Certificate // the authority that signs it; nil: it signs itself, and is no authority
}

// Make makes a key and a certificate for it, and returns both in PEM: the certificate, those of authorities between it
// and the root, and the key. A certificate ends with its authority at the latest. The error says what of the request is
// wrong.
func Make(r Request) (text []byte, leaf *x509.Certificate, err error) {
	if len(r.Names)+len(r.Addresses) == 0 {
		return nil, nil, errors.New("a certificate needs a name or an address")
	}
	c := &x509.Certificate{NotBefore: r.From, NotAfter: r.To, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: r.Names}
	for _, name := range r.Names {
		if !hostName(name) {
			return nil, nil, fmt.Errorf("%q is no name of a host: want letters, digits, dots and hyphens", name)
		}
	}
	for _, a := range r.Addresses {
		c.IPAddresses = append(c.IPAddresses, net.IP(a.Unmap().WithZone("").AsSlice()))
	}
	c.Subject = pkix.Name{CommonName: subject(r)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // browsers take no Ed25519
	if err != nil {
		return nil, nil, err
	}
	parent, signer, chain := c, any(key), [][]byte(nil)
	if r.CA != nil {
		if parent, chain, err = authority(r.CA, r.From); err != nil {
			return nil, nil, err
		}
		signer = r.CA.PrivateKey
		if c.NotAfter.After(parent.NotAfter) {
			c.NotAfter = parent.NotAfter
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	out := bytes.Buffer{}
	for _, der := range append([][]byte{der}, chain...) {
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return out.Bytes(), leaf, nil
}

// subject is the common name, which people see and browsers ignore.
func subject(r Request) string {
	if len(r.Names) > 0 && len(r.Names[0]) <= 64 {
		return r.Names[0]
	}
	if len(r.Addresses) > 0 {
		return r.Addresses[0].String()
	}
	return "skerry"
}

// authority checks that a certificate may sign others, and returns it with the chain that servers send: without roots.
func authority(pair *tls.Certificate, now time.Time) (*x509.Certificate, [][]byte, error) {
	ca := pair.Leaf
	switch {
	case ca == nil || !ca.IsCA || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, nil, errors.New("the certificate is not that of an authority: it may not sign others")
	case now.After(ca.NotAfter):
		return nil, nil, fmt.Errorf("the authority has expired on %s UTC", ca.NotAfter.UTC().Format(time.DateTime))
	}
	var chain [][]byte
	for _, der := range pair.Certificate {
		if c, err := x509.ParseCertificate(der); err == nil && !SignsItself(c) {
			chain = append(chain, der)
		}
	}
	return ca, chain, nil
}

// SignsItself reports whether no authority has signed a certificate.
func SignsItself(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate,
		c.Signature) == nil
}

// Fingerprint is the SHA-256 of a certificate as browsers show it: AB:CD:…
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// hostName reports whether a text can be a name in DNS.
func hostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool {
				return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
			}) {
			return false
		}
	}
	return true
}
