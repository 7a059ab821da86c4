package skerry

import (
	"crypto/tls"
	"fmt"
)

// security is TLS for both sides; nil means plain TCP for the server, and the
// system's authorities for calls to ports that speak TLS.
type security struct{ client, server *tls.Config }

func loadTLS(c TLS) (s security, err error) {
	if c == (TLS{Clients: c.Clients}) {
		return s, nil
	}
	s.client = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CA != "" {
		if s.client.RootCAs, err = readAuthorities(c.CA); err != nil {
			return s, fmt.Errorf("tls.ca: %w", err)
		}
	}
	if c.Cert == "" {
		return s, nil
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return s, fmt.Errorf("tls.cert: %w", err)
	}
	s.client.Certificates = []tls.Certificate{pair}
	s.server = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.CA != "" && c.Clients == "require" {
		s.server.ClientCAs, s.server.ClientAuth = s.client.RootCAs, tls.RequireAndVerifyClientCert
	}
	return s, nil
}
