package skerry

import (
	"crypto/tls"
	"fmt"
)

// security is TLS for both sides; nil means plain TCP for the server, and that
// ports which speak TLS are not called.
type security struct{ client, server *tls.Config }

// Client is what calls to ports that speak TLS use: nil when nothing is
// configured, and then they are refused, since nobody has said whom to trust.
// Without CA, but with a certificate or a server name, it is the system's
// authorities.
func (c TLS) Client() (*tls.Config, error) {
	if c.Cert == "" && c.CA == "" && c.ServerName == "" {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CA != "" {
		pool, err := readAuthorities(c.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		t.RootCAs = pool
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func loadTLS(c TLS) (s security, err error) {
	if s.client, err = c.Client(); err != nil || s.client == nil || c.Cert == "" {
		return s, err
	}
	s.server = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: s.client.Certificates}
	if c.CA != "" && c.Clients != "none" {
		s.server.ClientCAs, s.server.ClientAuth = s.client.RootCAs, tls.RequireAndVerifyClientCert
	}
	return s, nil
}
