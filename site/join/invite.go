package join

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/registry"
)

// Port is the TCP port of an inviter when nothing else is said.
const Port = 7758

// Bounds of an inviter.
const (
	maxHosts     = 256
	maxMessage   = 1 << 20 // bytes
	maxConns     = 32
	maxByAddress = 8
	connTime     = 30 * time.Second
)

// Config says what is handed out, and to which hosts.
type Config struct {
	Membership Membership       // without a certificate
	Authority  *tls.Certificate // that signs the hosts' certificates; nil: they get none
	Hosts      []string         // names, as plans have them
	For        time.Duration    // that a token is valid
}

// Invitation is a token for one host.
type Invitation struct{ Host, Token string }

// Event is what has become of an invitation.
type Event struct {
	Host    string
	Address netip.Addr
	Err     error // nil: the host has joined
}

// Inviter hands out memberships.
type Inviter struct {
	config Config
	until  time.Time // by the monotonic clock
	guests map[string]*guest
	list   []Invitation

	mu    sync.Mutex
	left  int // invitations that are not spent
	conns map[netip.Addr]int
	total int
}

// guest is one invitation.
type guest struct {
	host string
	site *sitetls.Site

	used   time.Time // zero: not yet
	usedBy netip.Addr
	joined bool
}

// NewInviter makes tokens for hosts.
func NewInviter(c Config) (*Inviter, error) {
	if err := c.Membership.Check(); err != nil {
		return nil, err
	}
	if len(c.Hosts) == 0 || len(c.Hosts) > maxHosts {
		return nil, fmt.Errorf("%d hosts; 1 to %d are invited at once", len(c.Hosts), maxHosts)
	}
	i := &Inviter{config: c, until: time.Now().Add(c.For), guests: map[string]*guest{}, left: len(c.Hosts),
		conns: map[netip.Addr]int{}}
	seen := map[string]bool{}
	for _, host := range c.Hosts {
		if err := registry.CheckName("host", host); err != nil {
			return nil, err
		}
		if seen[host] {
			return nil, fmt.Errorf("%s is invited twice", host)
		}
		seen[host] = true
		t := newToken()
		site, err := siteOf(t, "inviter")
		if err != nil {
			return nil, err
		}
		i.guests[t.name()] = &guest{host: host, site: site}
		i.list = append(i.list, Invitation{host, t.String()})
	}
	return i, nil
}

// siteOf is one end of the connections that a token proves.
func siteOf(t token, end string) (*sitetls.Site, error) {
	seed := t.seed()
	return sitetls.New(sitetls.Config{Cluster: "join", Owner: end + "/" + strconv.Itoa(os.Getpid()) + "/0",
		Seeds: func() [][]byte { return [][]byte{seed} }})
}

// Invitations are the tokens, in the order of the hosts.
func (i *Inviter) Invitations() []Invitation { return i.list }

// Serve hands out memberships on a listener until each invitation is spent, their time is over, or ctx ends. It returns
// the names of hosts that have not joined. said is called from one goroutine at a time. Serve closes the listener.
func (i *Inviter) Serve(ctx context.Context, l net.Listener, said func(Event)) ([]string, error) {
	ctx, cancel := context.WithDeadline(ctx, i.until)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel() // before the wait: it ends open connections
	var talk sync.Mutex
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return i.missing(), nil
		}
		if err != nil {
			if err, ok := errors.AsType[net.Error](err); ok && err.Timeout() {
				continue
			}
			return i.missing(), err
		}
		from := addressOf(conn)
		if !i.enter(from) {
			conn.Close()
			continue
		}
		all.Go(func() {
			defer i.leave(from)
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			defer conn.Close()
			e, last := i.serve(ctx, conn, from)
			if e != nil {
				talk.Lock()
				said(*e)
				talk.Unlock()
			}
			if last {
				cancel()
			}
		})
	}
}

func addressOf(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (i *Inviter) enter(from netip.Addr) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.total == maxConns || i.conns[from] == maxByAddress {
		return false
	}
	i.total++
	i.conns[from]++
	return true
}

func (i *Inviter) leave(from netip.Addr) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.total--
	if i.conns[from]--; i.conns[from] == 0 {
		delete(i.conns, from)
	}
}

func (i *Inviter) missing() (hosts []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, one := range i.list {
		for _, g := range i.guests {
			if g.host == one.Host && !g.joined {
				hosts = append(hosts, g.host)
			}
		}
	}
	return hosts
}

// request is what a host asks.
type request struct {
	Host        string `json:"host"`
	Certificate []byte `json:"certificate"` // request for one
}

// answer is what it gets.
type answer struct {
	Refused    string      `json:"refused,omitempty"`
	Membership *Membership `json:"membership,omitempty"`
}

// outcome is what the host has done with it.
type outcome struct {
	Failed string `json:"failed,omitempty"`
}

// serve talks with one caller. A caller without the token of an invitation makes no event: strangers could fill the
// screen.
func (i *Inviter) serve(ctx context.Context, raw net.Conn, from netip.Addr) (e *Event, last bool) {
	raw.SetDeadline(time.Now().Add(connTime))
	var g *guest
	conn := tls.Server(raw, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if g = i.guests[h.ServerName]; g == nil {
			return nil, errors.New("no such invitation")
		}
		return g.site.Server(), nil
	}})
	if err := conn.HandshakeContext(ctx); err != nil || g == nil {
		return nil, false
	}
	in := json.NewDecoder(io.LimitReader(conn, maxMessage))
	var r request
	if err := in.Decode(&r); err != nil {
		return nil, false
	}
	m, refused := i.grant(g, r, from)
	if refused != "" {
		send(conn, answer{Refused: refused})
		return &Event{g.host, from, errors.New(refused)}, false
	}
	var done outcome
	err := send(conn, answer{Membership: m})
	if err == nil {
		err = in.Decode(&done)
	}
	e = &Event{Host: g.host, Address: from}
	switch {
	case err != nil:
		e.Err = fmt.Errorf("the connection broke before the host has confirmed: %w; look at it, and invite it again "+
			"if it has not joined", err)
	case done.Failed != "":
		e.Err = fmt.Errorf("the host could not use it: %.500s; mend that, and invite it again", done.Failed)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	g.joined = e.Err == nil
	i.left--
	return e, i.left == 0
}

// grant uses an invitation up.
func (i *Inviter) grant(g *guest, r request, from netip.Addr) (m *Membership, refused string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case !g.used.IsZero():
		return nil, fmt.Sprintf("this token was used %s ago, from %s; if that was not this host, a stranger has the "+
			"site's key: skerry key rotate", time.Since(g.used).Round(time.Second), g.usedBy)
	case time.Now().After(i.until):
		return nil, "this token is not valid any more"
	case r.Host != g.host:
		return nil, fmt.Sprintf("this token is for the host %s, and this one is %.80q", g.host, r.Host)
	}
	out := i.config.Membership
	if i.config.Authority != nil {
		certificate, err := Sign(i.config.Authority, r.Certificate, g.host, from)
		if err != nil {
			return nil, err.Error()
		}
		out.Certificate = string(certificate)
	}
	g.used, g.usedBy = time.Now(), from
	return &out, ""
}

func send(conn net.Conn, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = conn.Write(append(text, '\n'))
	return err
}
