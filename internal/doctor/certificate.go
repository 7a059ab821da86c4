package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/tlsfile"
)

// Certificate reports whether peers accept the certificate of tls.cert.
func Certificate(c config.TLS, now time.Time) []Finding {
	l := List{Area: "Trust"}
	conf, err := c.Client()
	if err != nil || conf == nil || len(conf.Certificates) == 0 || conf.Certificates[0].Leaf == nil {
		return nil // the check of the configuration reports the error
	}
	pair := conf.Certificates[0]
	leaf, others := pair.Leaf, x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			others.AddCert(cert)
		}
	}
	const anew = "let the authority sign a new one (openssl x509 -req, as for the first), put it there: processes " +
		"use it without a restart"
	_, err = leaf.Verify(
		x509.VerifyOptions{Roots: conf.RootCAs, Intermediates: others, CurrentTime: leaf.NotBefore.Add(time.Second),
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	end := leaf.NotAfter.UTC().Format(time.DateTime)
	switch {
	case now.After(leaf.NotAfter):
		l.Problem(anew, "the certificate %s has expired on %s UTC: peers refuse it", c.Cert, end)
	case now.Before(leaf.NotBefore):
		l.Problem("set the clock of this host, or let the authority sign a new one",
			"the certificate %s is not valid before %s UTC, and this host's clock says %s: peers refuse it",
			c.Cert, leaf.NotBefore.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	case err != nil:
		l.Problem("let the authority of tls.ca sign it, the same authority on every host",
			"peers with the same tls.ca refuse the certificate %s: %v", c.Cert, err)
	case tlsfile.Soon(leaf, now):
		l.Hint(anew, "the certificate %s expires on %s UTC", c.Cert, end)
	default:
		l.Fine("the certificate %s is valid until %s UTC", c.Cert, end)
	}
	return l.All
}

// GatewayCertificate reports how long the gateway's certificate for users is valid.
func GatewayCertificate(c config.GatewayTLS, now time.Time) []Finding {
	l := List{Area: "Trust"}
	if c.Cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	const anew = "put a new one in its place: the gateway uses it without a restart"
	switch {
	case err != nil:
		l.Problem("let both files be of one pair, and readable for the gateway's user",
			"the gateway's certificate can't be used: %v", err)
	case pair.Leaf == nil:
	case now.After(pair.Leaf.NotAfter):
		l.Problem(anew, "the gateway's certificate %s has expired on %s UTC: users are warned of it",
			c.Cert, pair.Leaf.NotAfter.UTC().Format(time.DateTime))
	case tlsfile.Soon(pair.Leaf, now):
		l.Hint(anew, "the gateway's certificate %s expires on %s UTC",
			c.Cert, pair.Leaf.NotAfter.UTC().Format(time.DateTime))
	default:
		l.Fine("the gateway's certificate %s is valid until %s UTC",
			c.Cert, pair.Leaf.NotAfter.UTC().Format(time.DateTime))
	}
	return l.All
}

// ConsoleCertificate reports how long the certificate is valid that skerry console cert has made; nothing without one.
func ConsoleCertificate(path string, now time.Time) []Finding {
	l := List{Area: "Trust"}
	pair, err := tls.LoadX509KeyPair(path, path)
	const anew = "make a new one, which a running console uses at once: skerry console cert --replace"
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission): // another user's console
	case err != nil:
		l.Problem("make a new one: skerry console cert --replace", "the console's certificate %s can't be used: %v",
			path, err)
	case pair.Leaf == nil:
	case now.After(pair.Leaf.NotAfter):
		l.Problem(anew, "the console's certificate %s has expired on %s UTC: browsers refuse it", path,
			pair.Leaf.NotAfter.UTC().Format(time.DateTime))
	case tlsfile.Soon(pair.Leaf, now):
		l.Hint(anew, "the console's certificate %s expires on %s UTC", path,
			pair.Leaf.NotAfter.UTC().Format(time.DateTime))
	default:
		l.Fine("the console's certificate %s is valid until %s UTC", path,
			pair.Leaf.NotAfter.UTC().Format(time.DateTime))
	}
	return l.All
}
