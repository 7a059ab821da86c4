package postgres

import (
	"crypto/tls"
	"net"

	"github.com/jackc/pgx/v5"
)

// Link is the way to the database, which the site's key takes, too: a listener
// on a connection that is neither local nor encrypted reads it.
type Link struct {
	Socket    bool   // a Unix socket: what passes stays on this host
	Loopback  bool   // TCP within this host
	Encrypted bool   // TLS, as far as the next server: a pooler has a connection of its own behind it
	TLS       string // version and cipher; "" without
	Verified  bool   // the server has proved its name or its authority: no other one can stand between
}

// Private reports whether nobody on the network can read along.
func (l Link) Private() bool { return l.Socket || l.Loopback || l.Encrypted }

// linkOf looks at a connection.
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

// Link is the way that the latest session took to the database; false: there
// was none yet.
func (r *Registry) Link() (l Link, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == nil {
		return Link{}, false
	}
	return *r.link, true
}
