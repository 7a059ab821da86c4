package sitetls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// ALPN is the protocol that both sides name in their handshake.
const ALPN = "skerry-site/1"

const maxCertificate = 2 << 10

var (
	// ErrNoKey: the ring has no key.
	ErrNoKey = errors.New(
		"this process has no site key: make one with \"skerry key new\", or take another host's with \"skerry " +
			"key set\"",
	)
	// ErrPeer is wrapped when the other side's certificate is not accepted.
	ErrPeer = errors.New("no site certificate that this process accepts")

	// ErrOwner is also wrapped when the certificate belongs to another process of the site than the
	// intended one.
	ErrOwner = errors.New("another process of the site")
)

// Config configures a Site.
type Config struct {
	Cluster string
	Owner   string          // this process, as host/pid/epoch
	Seeds   func() [][]byte // of 32 bytes each: the first signs, all verify; called at each handshake
}

// Site is this process's part in site connections.
type Site struct {
	cfg  Config
	leaf ed25519.PrivateKey

	mu    sync.Mutex
	seeds [][]byte // the source of now
	now   *ring
}

// ring is the TLS material of the site's keys.
type ring struct {
	roots []ed25519.PublicKey
	cert  tls.Certificate
}

// New makes the key of this process. It does not read the seeds yet.
func New(cfg Config) (*Site, error) {
	if _, err := address(cfg.Cluster, cfg.Owner); err != nil {
		return nil, err
	}
	if cfg.Seeds == nil {
		return nil, errors.New("site connections: Seeds is missing")
	}
	_, leaf, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("site connections: make a key: %w", err)
	}
	return &Site{cfg: cfg, leaf: leaf}, nil
}

// Server is the configuration of the accepting side. It accepts any other process of the site.
func (s *Site) Server() *tls.Config {
	c := s.config("")
	c.ClientAuth = tls.RequireAnyClientCert
	c.SessionTicketsDisabled = true
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate() }
	return c
}

// Client is the configuration of the connecting side. owner is the intended process, as
// host/pid/epoch; "" means any process of the site but this one.
func (s *Site) Client(owner string) *tls.Config {
	c := s.config(owner)
	c.InsecureSkipVerify = true // VerifyConnection checks the site's key instead of names and dates
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.certificate() }
	return c
}

func (s *Site) config(owner string) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
		NextProtos:       []string{ALPN},
		Time:             func() time.Time { return time.Time{} }, // no clock decides
		VerifyConnection: func(cs tls.ConnectionState) error { return s.verify(cs, owner) },
	}
}

// verify decides whether the other side is a process of the site, and the intended one.
func (s *Site) verify(cs tls.ConnectionState, meant string) error {
	r, err := s.ring()
	if err != nil {
		return err
	}
	if cs.NegotiatedProtocol != ALPN {
		return fmt.Errorf("%w: the protocol is %q, not %s", ErrPeer, cs.NegotiatedProtocol, ALPN)
	}
	leaf, err := only(cs)
	if err != nil {
		return err
	}
	signed := func(root ed25519.PublicKey) bool {
		return ed25519.Verify(root, leaf.RawTBSCertificate, leaf.Signature)
	}
	if leaf.SignatureAlgorithm != x509.PureEd25519 || !slices.ContainsFunc(r.roots, signed) {
		return fmt.Errorf("%w: none of the %d site keys known here has signed it", ErrPeer, len(r.roots))
	}
	cluster, owner, err := names(leaf)
	switch {
	case err != nil:
		return err
	case cluster != s.cfg.Cluster:
		return fmt.Errorf("%w: it is of cluster %q, this is cluster %q", ErrPeer, cluster, s.cfg.Cluster)
	case owner == s.cfg.Owner:
		return fmt.Errorf("%w: it is this process's own (%s)", ErrPeer, owner)
	case meant != "" && owner != meant:
		return fmt.Errorf("%w: %w: it is of process %s, meant is %s", ErrPeer, ErrOwner, owner, meant)
	}
	return nil
}

// only is the single certificate of the other side.
func only(cs tls.ConnectionState) (*x509.Certificate, error) {
	switch {
	case len(cs.PeerCertificates) != 1:
		return nil, fmt.Errorf("%w: %d certificates came, not one", ErrPeer, len(cs.PeerCertificates))
	case len(cs.PeerCertificates[0].Raw) > maxCertificate:
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrPeer, len(cs.PeerCertificates[0].Raw),
			maxCertificate)
	}
	c := cs.PeerCertificates[0]
	if _, ok := c.PublicKey.(ed25519.PublicKey); !ok || len(c.UnhandledCriticalExtensions) > 0 {
		return nil, fmt.Errorf("%w: no plain Ed25519 certificate", ErrPeer)
	}
	return c, nil
}

// PeerOwner is the process at the other end of a site connection after the handshake, as
// host/pid/epoch.
func PeerOwner(cs tls.ConnectionState) (string, error) {
	if !cs.HandshakeComplete || cs.NegotiatedProtocol != ALPN {
		return "", fmt.Errorf("%w: no site connection", ErrPeer)
	}
	leaf, err := only(cs)
	if err != nil {
		return "", err
	}
	_, owner, err := names(leaf)
	return owner, err
}

// Ring is a value that changes with the keys of the site; nil while there are none.
func (s *Site) Ring() any {
	r, err := s.ring()
	if err != nil {
		return nil
	}
	return r
}

// Verify checks the other side of an open connection again, by the current keys.
func (s *Site) Verify(cs tls.ConnectionState) error { return s.verify(cs, "") }

func (s *Site) certificate() (*tls.Certificate, error) {
	r, err := s.ring()
	if err != nil {
		return nil, err
	}
	return &r.cert, nil
}

// ring is made anew when the seeds have changed.
func (s *Site) ring() (*ring, error) {
	seeds := s.cfg.Seeds()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && slices.EqualFunc(s.seeds, seeds, bytes.Equal) {
		return s.now, nil
	}
	r, err := s.make(seeds)
	if err != nil {
		return nil, err
	}
	s.seeds = nil
	for _, seed := range seeds {
		s.seeds = append(s.seeds, bytes.Clone(seed))
	}
	s.now = r
	return r, nil
}

func (s *Site) make(seeds [][]byte) (*ring, error) {
	if len(seeds) == 0 {
		return nil, ErrNoKey
	}
	var r ring
	for _, seed := range seeds {
		if len(seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("site connections: a key of %d bytes, want %d", len(seed), ed25519.SeedSize)
		}
		r.roots = append(r.roots, ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	}
	var err error
	r.cert, err = s.sign(ed25519.NewKeyFromSeed(seeds[0]))
	return &r, err
}

// address is the URI of a process.
func address(cluster, owner string) (*url.URL, error) {
	u := &url.URL{Scheme: "skerry", Host: cluster, Path: "/" + owner}
	back, err := url.Parse(u.String())
	if err != nil {
		return nil, fmt.Errorf("site connections: cluster %q, process %q: %w", cluster, owner, err)
	}
	if c, o, err := split(back); err != nil || c != cluster || o != owner {
		return nil, fmt.Errorf("site connections: cluster %q, process %q: want a name, and host/pid/epoch", cluster,
			owner)
	}
	return u, nil
}

// split takes a process's URI apart.
func split(u *url.URL) (cluster, owner string, err error) {
	owner, rooted := strings.CutPrefix(u.Path, "/")
	parts := strings.Split(owner, "/")
	plain := u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.Opaque == "" && !u.ForceQuery
	if u.Scheme != "skerry" || u.Host == "" || !plain || !rooted || len(parts) != 3 || slices.Contains(parts, "") {
		return "", "", fmt.Errorf("%w: its URI is %q, want skerry://CLUSTER/HOST/PID/EPOCH", ErrPeer, u)
	}
	return u.Host, owner, nil
}

// names is the cluster and the process that a certificate names.
func names(c *x509.Certificate) (cluster, owner string, err error) {
	if len(c.URIs) != 1 || len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses) > 0 {
		return "", "", fmt.Errorf("%w: it must name one URI and nothing else", ErrPeer)
	}
	return split(c.URIs[0])
}
