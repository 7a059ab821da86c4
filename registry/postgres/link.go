package postgres

import (
	"crypto/tls"
	"net"

	"github.com/jackc/pgx/v5"
)

// Link describes the network path to the database. The site's key passes over it, so a listener on
// a connection that is neither local nor encrypted reads the key.
type Link struct {
	Socket    bool   // a Unix socket: the bytes stay on this host
	Loopback  bool   // TCP within this host
	Encrypted bool   // TLS, up to the next server: a pooler has another connection to the database
	TLS       string // version and cipher; "" without
	Verified  bool   // the server has proved its name or authority, so none stands between
}

// Private reports whether hosts of the network can't read the connection.
func (l Link) Private() bool { return l.Socket || l.Loopback || l.Encrypted }

// linkOf describes a connection.
func linkOf(conn *pgx.Conn, cfg *pgx.ConnConfig) Link {
	var l Link
	c := conn.PgConn().Conn()
	if t, ok := c.(*tls.Conn); ok {
		state := t.ConnectionState()
		l.Encrypted, l.TLS = true, tls.VersionName(state.Version)+" "+tls.CipherSuiteName(state.CipherSuite)
		used := cfg.TLSConfig
		l.Verified = used != nil &&
			(!used.InsecureSkipVerify || used.VerifyPeerCertificate != nil || used.VerifyConnection != nil)
		c = t.NetConn()
	}
	switch a := c.RemoteAddr().(type) {
	case *net.UnixAddr:
		l.Socket = true
	case *net.TCPAddr:
		l.Loopback = a.IP.IsLoopback()
	}
	return l
}

func (r *Registry) note(l Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link = &l
}

// Link describes the latest session's path to the database. known is false before the first
// session.
func (r *Registry) Link() (l Link, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == nil {
		return Link{}, false
	}
	return *r.link, true
}
