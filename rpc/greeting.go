package rpc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skerry/skerry/rpc/internal/theader"
)

const (
	nonceSize  = 16
	maxOwner   = 255     // bytes of each of the first four parts of a greeting
	maxOffered = 4 << 10 // bytes of services that a pong lists; further ones are left out
)

// greeting identifies one end of a connection before the first call. The client sends its own,
// unsigned, in its ping. The server answers with a signed one in its pong. The client then signs its
// own and sends it again in the control frame hello.
type greeting struct {
	nonce   string
	owner   string
	cluster string
	offers  []offered // the services that a server has, or that a client wants to call
	mac     string    // "" = not signed
}

// offered is a service of a server.
type offered struct{ service, version string }

// append writes the greeting as the value of an info header, with a length before each part.
func (g *greeting) append(dst []byte) []byte {
	for _, s := range []string{g.nonce, g.owner, g.cluster, g.mac} {
		dst = appendPart(dst, s)
	}
	for _, o := range g.offers {
		dst = appendPart(appendPart(dst, o.service), o.version)
	}
	return dst
}

func appendPart(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// readGreeting reads what append wrote: four parts, then pairs of service and version. A later
// version of skerry may send further pairs, which name no service that is known here.
func readGreeting(value string) (g greeting, err error) {
	rest := value
	for i, into := range []*string{&g.nonce, &g.owner, &g.cluster, &g.mac} {
		if *into, rest, err = cutPart(rest); err != nil {
			return greeting{}, err
		}
		if len(*into) > maxOwner {
			return greeting{}, fmt.Errorf("%w: part %d of a hello has %d bytes", theader.ErrMalformed, i, len(*into))
		}
	}
	if len(g.nonce) != nonceSize || len(g.mac) != 0 && len(g.mac) != sha256.Size {
		return greeting{}, fmt.Errorf(
			"%w: a hello with a nonce of %d bytes and a proof of %d",
			theader.ErrMalformed,
			len(g.nonce),
			len(g.mac),
		)
	}
	if len(rest) > 2*maxOffered {
		return greeting{}, fmt.Errorf("%w: a hello that lists %d bytes of services", theader.ErrMalformed, len(rest))
	}
	for rest != "" {
		var o offered
		if o.service, rest, err = cutPart(rest); err == nil {
			o.version, rest, err = cutPart(rest)
		}
		if err != nil {
			return greeting{}, err
		}
		g.offers = append(g.offers, o)
	}
	return g, nil
}

func cutPart(s string) (part, rest string, err error) {
	var n uint64
	for i := 0; i < len(s) && i < 3; i++ { // at most 2^21
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			if s = s[i+1:]; n > uint64(len(s)) {
				break
			}
			return s[:n], s[n:], nil
		}
	}
	return "", "", fmt.Errorf("%w: a hello that ends within a part", theader.ErrMalformed)
}

func newNonce() string {
	var b [nonceSize]byte
	_, _ = rand.Read(b[:]) // never fails
	return string(b[:])
}

// prove signs both greetings as one side, "server" or "client".
func prove(key []byte, side string, client, server *greeting) string {
	b := appendPart(nil, side)
	for _, g := range []*greeting{client, server} {
		for _, s := range []string{g.nonce, g.owner, g.cluster} {
			b = appendPart(b, s)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(server.offers)))
	for _, o := range server.offers {
		b = appendPart(appendPart(b, o.service), o.version)
	}
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return string(h.Sum(nil))
}

// proven reports whether one of the keys has signed the greetings.
func proven(keys [][]byte, mac, side string, client, server *greeting) bool {
	return mac != "" && slices.ContainsFunc(keys, func(key []byte) bool {
		return subtle.ConstantTimeCompare([]byte(mac), []byte(prove(key, side, client, server))) == 1
	})
}

// appendGreeting appends to dst a control frame with a greeting.
func appendGreeting(dst []byte, kind string, seq int32, g *greeting) []byte {
	return appendPair(dst, kind, seq, keyHello, string(g.append(nil)))
}

// differs returns an error when the process that answered is not the one of the endpoint.
func (g *greeting) differs(e *Endpoint, cluster string) error {
	switch {
	case cluster != "" && g.cluster != "" && g.cluster != cluster:
		return fmt.Errorf(
			"%w: %s is of cluster %q, this process is of cluster %q",
			ErrOther,
			e.Addr,
			g.cluster,
			cluster,
		)
	case e.Owner != "" && !e.Site && g.owner != e.Owner: // the certificate of a site connection proves the owner
		return fmt.Errorf("%w: %s is now the address of %q, listed is %q", ErrOther, e.Addr, g.owner, e.Owner)
	case e.Version == "":
		return nil
	}
	for _, o := range g.offers {
		if o.service == e.Service && o.version != e.Version {
			return fmt.Errorf("%w: %s serves %s %q, listed is %q", ErrOther, e.Addr, e.Service, o.version, e.Version)
		}
	}
	return nil
}

// greet learns, before any call, which process answers on a new connection. When the other process has
// proved to be of the site, this one proves it, too.
func (l *clientConn) greet(ctx context.Context) error {
	id, e := l.pool.c.cfg.Identity, l.pool.ep
	mine := greeting{nonce: newNonce(), owner: id.Owner, cluster: id.Cluster, offers: []offered{{e.Service, e.Version}}}
	mine.offers = append(mine.offers, l.pool.c.cfg.facts()...)
	frame, err := l.ask(ctx, func(seq int32) []byte { return appendGreeting(nil, controlPing, seq, &mine) })
	if err != nil {
		return err
	}
	var h theader.Header
	if _, err := theader.Parse(frame, &h, l.in.Limits); err != nil {
		return err
	}
	var theirs greeting
	if value := h.Get(keyHello); value != "" {
		if theirs, err = readGreeting(value); err != nil {
			return err
		}
	}
	l.streaming.Store(slices.Contains(theirs.offers, offered{offerStreams, "1"}))
	if err := theirs.differs(e, id.Cluster); err != nil || e.Site {
		return err
	}
	if keys := id.keys(); proven(keys, theirs.mac, "server", &mine, &theirs) {
		mine.mac = prove(keys[0], "client", &mine, &theirs)
		return l.out.Send(appendGreeting(nil, controlHello, 0, &mine), nil, 0)
	}
	return nil
}

// pong answers a ping. The answer identifies this server when the client has identified itself.
func (c *serverConn) pong(h *theader.Header) error {
	value := h.Get(keyHello)
	switch pad := h.Get(keyPad); {
	case value != "":
	case pad != "":
		return c.out.Send(appendPadded(nil, controlPong, h.Seq, len(pad)), nil, 0)
	default:
		return c.out.Send(appendControl(nil, controlPong, h.Seq, 0), nil, 0)
	}
	theirs, err := readGreeting(strings.Clone(value))
	if err != nil {
		return err
	}
	id := c.s.cfg.Identity
	mine := greeting{
		nonce:   newNonce(),
		owner:   id.Owner,
		cluster: id.Cluster,
		offers:  c.s.routes.offers(theirs.offers, c.s.also),
	}
	if keys := id.keys(); len(keys) > 0 {
		mine.mac = prove(keys[0], "server", &theirs, &mine)
	}
	c.hello, c.answered, c.facts = &theirs, &mine, theirs.readFacts()
	clear(c.counts) // the client may mean other versions now
	c.last = nil
	return c.out.Send(appendGreeting(nil, controlPong, h.Seq, &mine), nil, 0)
}

// checkProof marks the peer as a member of the site when its hello proves a key of the site.
func (c *serverConn) checkProof(h *theader.Header) error {
	theirs, err := readGreeting(h.Get(keyHello))
	if err != nil || c.hello == nil {
		return err
	}
	info := *c.info.Load()
	id := c.s.cfg.Identity
	if !info.Site && c.hello.cluster == id.Cluster && proven(id.keys(), theirs.mac, "client", c.hello, c.answered) {
		info.Hello, info.Owner = true, c.hello.owner
		c.setInfo(info)
	}
	return nil
}

// also reports whether a service is listed here in another version as well.
func (s *Server) also(service, version string) bool {
	return s.cfg.Also != nil && s.cfg.Also(service, version)
}

// otherVersion returns an error when the client means another version of a service than this server
// has now. The server may have had that version when the connection was made.
func (c *serverConn) otherVersion(s *served) error {
	if c.hello == nil {
		return nil
	}
	for _, o := range c.hello.offers {
		if o.service == s.name && o.version != "" && o.version != s.version && !c.s.also(s.name, o.version) {
			return fmt.Errorf(
				"%w: %s is served here in version %q, meant is %q",
				ErrOther,
				s.name,
				s.version,
				o.version,
			)
		}
	}
	return nil
}

// offers lists the services with their versions, those that were asked for first, up to maxOffered
// bytes.
func (r *routes) offers(asked []offered, also func(service, version string) bool) (list []offered) {
	all, size := r.load().byName, 0
	add := func(name, version string) {
		listed := func(o offered) bool { return o.service == name }
		if slices.ContainsFunc(list, listed) || size+len(name)+len(version) > maxOffered-2*binary.MaxVarintLen16 {
			return
		}
		list = append(list, offered{name, version})
		size += len(name) + len(version) + 2*binary.MaxVarintLen16
	}
	add(offerStreams, "1")
	for _, o := range asked[:min(len(asked), 8)] {
		switch s := all[o.service]; {
		case s == nil:
		case o.version != s.version && also(o.service, o.version):
			add(o.service, o.version)
		default:
			add(o.service, s.version)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		add(name, all[name].version)
	}
	return list
}
