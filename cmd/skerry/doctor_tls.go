package main

import (
	"crypto/x509"
	"time"

	"github.com/skerry/skerry"
)

// expiresSoon is the time before the end of a certificate in which doctor
// speaks of it.
const expiresSoon = 30 * 24 * time.Hour

// describeCertificate says whether peers take the certificate of tls.cert.
func describeCertificate(f *findings, c skerry.TLS, now time.Time) {
	conf, err := c.Client()
	if err != nil || conf == nil || len(conf.Certificates) == 0 || conf.Certificates[0].Leaf == nil {
		return // what can't be read is a mistake of the configuration
	}
	pair := conf.Certificates[0]
	leaf, others := pair.Leaf, x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			others.AddCert(cert)
		}
	}
	const anew = "let the authority sign a new one (openssl x509 -req, as for the first), put it there, and restart the service"
	_, err = leaf.Verify(x509.VerifyOptions{Roots: conf.RootCAs, Intermediates: others, CurrentTime: leaf.NotBefore.Add(time.Second),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	end := leaf.NotAfter.UTC().Format(time.DateTime)
	switch {
	case now.After(leaf.NotAfter):
		f.problem(anew, "the certificate %s has expired on %s UTC: peers refuse it", c.Cert, end)
	case now.Before(leaf.NotBefore):
		f.problem("set the clock of this host, or let the authority sign a new one",
			"the certificate %s is not valid before %s UTC, and this host's clock says %s: peers refuse it",
			c.Cert, leaf.NotBefore.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	case err != nil:
		f.problem("let the authority of tls.ca sign it, the same authority on every host", "peers with the same tls.ca refuse the certificate %s: %v", c.Cert, err)
	case leaf.NotAfter.Sub(now) < expiresSoon:
		f.hint(anew, "the certificate %s expires on %s UTC", c.Cert, end)
	default:
		f.fine("the certificate %s is valid until %s UTC", c.Cert, end)
	}
}
