package skerry

import (
	"crypto/tls"

	"github.com/skerry/skerry/internal/tlsfile"
)

// security is TLS for both sides, by files that are read again when they
// change; nil means plain TCP for the server, and that ports which speak TLS
// are not called.
type security struct {
	files  *tlsfile.Reader // nil: nothing is configured
	server *tls.Config
}

// client is what a connection that is made now uses; nil without a configuration.
func (s security) client() *tls.Config {
	if s.files == nil {
		return nil
	}
	return s.files.Client()
}

// Client is what calls to ports that speak TLS use: nil when nothing is
// configured, and then they are refused, since nobody has said whom to trust.
// Without CA, but with a certificate or a server name, it is the system's
// authorities. It reads the files once; a Node reads them again when they change.
func (c TLS) Client() (*tls.Config, error) {
	s, err := loadTLS(c)
	return s.client(), err
}

func loadTLS(c TLS) (s security, err error) {
	if c.Cert == "" && c.CA == "" && c.ServerName == "" {
		return s, nil
	}
	s.files, err = tlsfile.New(tlsfile.Files{Cert: c.Cert, Key: c.Key, CA: c.CA}, c.ServerName, c.CA != "" && c.Clients != "none")
	if err == nil && c.Cert != "" {
		s.server = s.files.Server()
	}
	return s, err
}
