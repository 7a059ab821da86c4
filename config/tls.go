package config

import (
	"context"
	"crypto/tls"
	"log/slog"

	"github.com/skerry/skerry/internal/tlsfile"
)

// Credentials are the TLS configurations of both sides, by files that are read again when they
// change. The zero value means plain TCP for the server, and calls to ports with TLS are refused.
type Credentials struct {
	files  *tlsfile.Reader // nil: not configured
	Server *tls.Config     // nil: plain TCP
}

// Configured reports whether the section configures TLS.
func (s Credentials) Configured() bool { return s.files != nil }

// Run reads the files again when they change, until ctx ends. Credentials must
// be configured.
func (s Credentials) Run(ctx context.Context, log *slog.Logger) error { return s.files.Run(ctx, log) }

// Client is the configuration of a new connection; nil without a configuration.
func (s Credentials) Client() *tls.Config {
	if s.files == nil {
		return nil
	}
	return s.files.Client()
}

// Client is the configuration for calls to ports with TLS. It is nil if none is configured; then
// such calls are refused, because no file names a trusted authority. Without CA, but with a
// certificate or a server name, the system's authorities count. Client reads the files once; a Node
// reads them again when they change.
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
