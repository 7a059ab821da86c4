package tlsfile

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// Files are paths of PEM files; "" means no file.
type Files struct {
	Cert, Key string // a chain and its private key
	CA        string // authorities
}

// content is the content of all files, read together.
type content struct {
	pair *tls.Certificate // nil without Cert
	pool *x509.CertPool   // nil without CA

	client, server *tls.Config
}

// Reader is the newest valid content of files. It is safe for concurrent use.
type Reader struct {
	files  Files
	now    atomic.Pointer[content]
	every  time.Duration // between two checks
	config struct {      // set before the first read
		name string
		ask  bool
	}

	// Run owns these.
	read   string    // stamp of the last read content, valid or not
	bad    string    // its error
	warned time.Time // last warning about the certificate's end
}

const (
	lookEvery = 2 * time.Second
	warnEvery = 24 * time.Hour
	maxFile   = 4 << 20
)

// New reads the files. name is the name that a server must prove to a client, "" for the host of
// the connection. With askClients a server requires certificates of the authorities from its
// clients.
func New(f Files, name string, askClients bool) (*Reader, error) {
	r := &Reader{files: f, every: lookEvery, read: f.stamp()}
	r.config.name, r.config.ask = name, askClients
	c, err := r.load()
	if err != nil {
		return nil, err
	}
	r.now.Store(c)
	return r, nil
}

func (r *Reader) load() (*content, error) {
	c := &content{
		client: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.config.name},
		server: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if r.files.CA != "" {
		pool, err := Authorities(r.files.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.pool, c.client.RootCAs = pool, pool
		if r.config.ask {
			c.server.ClientCAs, c.server.ClientAuth = pool, tls.RequireAndVerifyClientCert
		}
	}
	if r.files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(r.files.Cert, r.files.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", err)
		}
		c.pair = &pair
		c.client.Certificates = []tls.Certificate{pair}
		c.server.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Authorities reads a PEM file of certificates.
func Authorities(path string) (*x509.CertPool, error) {
	text, err := statedir.ReadNamed(path, maxFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return pool, nil
}

// Client is the configuration for a new connection. The caller must not change it.
func (r *Reader) Client() *tls.Config { return r.now.Load().client }

// Server is the configuration of a port. Each handshake uses the content at its begin.
func (r *Reader) Server() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.now.Load().pair, nil },
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if !r.config.ask {
				return nil, nil // this configuration, with the protocols that its user has added
			}
			return r.now.Load().server, nil
		},
	}
}

// Run reads the files again when they change, until ctx ends.
func (r *Reader) Run(ctx context.Context, log *slog.Logger) error {
	if r.files == (Files{}) {
		return nil
	}
	ticker := time.NewTicker(r.every)
	defer ticker.Stop()
	for {
		looked := make(chan struct{})
		go func() { // a disk may hang; this goroutine does nothing else meanwhile
			defer close(looked)
			r.look(time.Now(), log)
		}()
		select {
		case <-looked:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look reads the files if they have changed.
func (r *Reader) look(now time.Time, log *slog.Logger) {
	if stamp := r.files.stamp(); stamp != r.read {
		c, err := r.load()
		if stamp != r.files.stamp() {
			return // it is being written; the next check reads all of it
		}
		r.read = stamp
		r.take(c, err, log)
	}
	r.warn(now, log)
}

// take uses the read content, or logs the error.
func (r *Reader) take(c *content, err error, log *slog.Logger) {
	if err != nil {
		if err.Error() != r.bad {
			log.Warn("the TLS files have changed and are not valid; the last ones are used until they are",
				"cert", r.files.Cert, "key", r.files.Key, "ca", r.files.CA, "err", err)
		}
		r.bad = err.Error()
		return
	}
	r.bad, r.warned = "", time.Time{}
	r.now.Store(c)
	args := []any{"cert", r.files.Cert, "ca", r.files.CA}
	if c.pair != nil && c.pair.Leaf != nil {
		args = append(args, "until", c.pair.Leaf.NotAfter.UTC().Format(time.DateTime))
	}
	log.Info("the TLS files have changed; new connections use them", args...)
}

// warn logs that the certificate ends soon.
func (r *Reader) warn(now time.Time, log *slog.Logger) {
	pair := r.now.Load().pair
	if pair == nil || pair.Leaf == nil || !r.warned.IsZero() && now.Sub(r.warned) < warnEvery {
		return
	}
	end := pair.Leaf.NotAfter.UTC().Format(time.DateTime)
	switch {
	case now.After(pair.Leaf.NotAfter):
		log.Error("the certificate has expired: peers refuse it; put a new one in its place", "cert", r.files.Cert,
			"until", end)
	case Soon(pair.Leaf, now):
		log.Warn("the certificate expires soon; put a new one in its place, which is used without a restart", "cert",
			r.files.Cert, "until", end)
	default:
		return
	}
	r.warned = now
}

// Soon reports whether a certificate ends within 30 days, or within the last third of its validity,
// whichever is shorter.
func Soon(c *x509.Certificate, now time.Time) bool {
	left := c.NotAfter.Sub(now)
	return left < min(30*24*time.Hour, c.NotAfter.Sub(c.NotBefore)/3)
}

// stamp changes when a file changes.
func (f Files) stamp() string {
	text := ""
	for _, path := range []string{f.Cert, f.Key, f.CA} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			text += "|" + err.Error()
			continue
		}
		text += fmt.Sprint("|", info.ModTime().UnixNano(), " ", info.Size(), " ", identity(info))
	}
	return text
}
