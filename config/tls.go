package config

import (
	"context"
	"crypto/tls"
	"log/slog"

	"github.com/skerry/skerry/internal/tlsfile"
)

// Credentials are TLS for both sides, by files that are read again when they
// change. The zero value is plain TCP for the server, and ports that speak TLS
// are not called.
type Credentials struct {
	files  *tlsfile.Reader // nil: nothing is configured
	Server *tls.Config     // nil: plain TCP
}

// Configured reports whether the section says anything.
func (s Credentials) Configured() bool { return s.files != nil }

// Run reads the files again when they change, until ctx ends. Credentials must
// be configured.
func (s Credentials) Run(ctx context.Context, log *slog.Logger) error { return s.files.Run(ctx, log) }

// Client is what a connection that is made now uses; nil without a configuration.
func (s Credentials) Client() *tls.Config {
	if s.files == nil {
		return nil
	}
	return s.files.Client()
}

// Client is what calls to ports that speak TLS use: nil when nothing is
// configured, and then they are refused, since no file says which authority to trust.
// Without CA, but with a certificate or a server name, it is the system's
// authorities. It reads the files once; a Node reads them again when they change.
func (c TLS) Client() (*tls.Config, error) {
	s, err := c.Load()
	return s.Client(), err
}

// Load reads the files.
func (c TLS) Load() (s Credentials, err error) {
	if c.Cert == "" && c.CA == "" && c.ServerName == "" {
		return s, nil
	}
	s.files, err = tlsfile.New(tlsfile.Files{Cert: c.Cert, Key: c.Key, CA: c.CA}, c.ServerName, c.CA != "" &&
		c.Clients != "none")
	if err == nil && c.Cert != "" {
		s.Server = s.files.Server()
	}
	return s, err
}
