package join

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
)

func authority(t *testing.T) (*tls.Certificate, string) {
	t.Helper()
	certificate, key, err := NewAuthority("site")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return &pair, string(certificate)
}

func membership(t *testing.T) Membership {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	line, err := sshsig.Operator{Name: "wang", Key: sshsig.PublicKey(public), Namespaces: sshsig.Namespaces}.Format()
	if err != nil {
		t.Fatal(err)
	}
	return Membership{Cluster: "site", Mode: "broadcast", Keys: sitekey.New().Text(), Operators: line}
}

// seat is an inviter that serves on the loopback interface.
type seat struct {
	*Inviter
	address string
	events  chan Event
	missing chan []string
}

func newSeat(t *testing.T, m Membership, ca *tls.Certificate, hosts ...string) *seat {
	t.Helper()
	i, err := NewInviter(Config{Membership: m, Authority: ca, Hosts: hosts, For: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &seat{i, l.Addr().String(), make(chan Event, 100), make(chan []string, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		missing, err := i.Serve(ctx, l, func(e Event) { s.events <- e })
		if err != nil {
			t.Error(err)
		}
		s.missing <- missing
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func nothing(Membership, []byte) error { return nil }

func TestJoin(t *testing.T) {
	ca, caPEM := authority(t)
	m := membership(t)
	m.Authority = caPEM
	s := newSeat(t, m, ca, "ops-1", "ops-2")
	for n, host := range []string{"ops-1", "ops-2"} {
		var got Membership
		var key []byte
		text := strings.ToLower(strings.ReplaceAll(s.Invitations()[n].Token, "-", " "))
		err := Join(t.Context(), s.address, text, host, func(m Membership, k []byte) error {
			got, key = m, k
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if e := <-s.events; e.Host != host || e.Err != nil || !e.Address.IsLoopback() {
			t.Errorf("%+v", e)
		}
		pair, err := tls.X509KeyPair([]byte(got.Certificate), key)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(got.Authority))
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool}); err != nil {
			t.Error(err)
		}
		got.Certificate = ""
		if got.Keys != m.Keys || got.Operators != m.Operators || got.Cluster != m.Cluster || got.Mode != m.Mode {
			t.Errorf("%#v", got)
		}
	}
	if missing := <-s.missing; len(missing) != 0 {
		t.Errorf("missing: %v", missing)
	}
}

// TestUsedOnce: the second caller learns the address of the first, and the operator sees it as well.
func TestUsedOnce(t *testing.T) {
	s := newSeat(t, membership(t), nil, "ops-1", "ops-2")
	token := s.Invitations()[0].Token
	if err := Join(t.Context(), s.address, token, "ops-1", nothing); err != nil {
		t.Fatal(err)
	}
	<-s.events
	err := Join(t.Context(), s.address, token, "ops-1", nothing)
	if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "from 127.0.0.1") ||
		!strings.Contains(err.Error(), "skerry key rotate") {
		t.Error(err)
	}
	if e := <-s.events; e.Err == nil {
		t.Error("the operator is not told")
	}
}

// TestOtherHost: a token serves its host alone, and an attempt does not spend it.
func TestOtherHost(t *testing.T) {
	s := newSeat(t, membership(t), nil, "ops-1")
	token := s.Invitations()[0].Token
	if err := Join(t.Context(), s.address, token, "ops-9", nothing); !errors.Is(err, ErrToken) {
		t.Error(err)
	}
	if e := <-s.events; e.Err == nil {
		t.Error("the operator is not told")
	}
	if err := Join(t.Context(), s.address, token, "ops-1", nothing); err != nil {
		t.Error(err)
	}
}

func TestWrongTokens(t *testing.T) {
	s := newSeat(t, membership(t), nil, "ops-1")
	token := s.Invitations()[0].Token
	other := "0"
	if token[0] == '0' {
		other = "1"
	}
	for what, text := range map[string]string{
		"empty": "", "short": token[:9], "long": token + "A", "a letter is wrong": other + token[1:],
		"signs": strings.Repeat("!", 25), "of another invitation": newToken().String(),
	} {
		err := Join(t.Context(), s.address, text, "ops-1", nothing)
		if !errors.Is(err, ErrToken) || len(text) > 9 && strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(s.events) > 0 {
		t.Errorf("strangers fill the screen: %+v", <-s.events)
	}
}

func TestInvitationsEnd(t *testing.T) {
	i, err := NewInviter(Config{Membership: membership(t), Hosts: []string{"a", "b"}, For: -time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if missing, err := i.Serve(t.Context(), l, nil); err != nil || len(missing) != 2 {
		t.Errorf("%v, %v", missing, err)
	}
	for _, g := range i.guests {
		if _, refused := i.grant(g, request{Host: g.host}, netip.Addr{}); refused == "" {
			t.Error("an hour later the token is accepted")
		}
	}
}

// TestHostFails: what the host says reaches the operator, and the invitation is spent.
func TestHostFails(t *testing.T) {
	s := newSeat(t, membership(t), nil, "ops-1")
	err := Join(t.Context(), s.address, s.Invitations()[0].Token, "ops-1",
		func(Membership, []byte) error { return errors.New("the disk is full") })
	if err == nil || err.Error() != "the disk is full" {
		t.Error(err)
	}
	if e := <-s.events; e.Err == nil || !strings.Contains(e.Err.Error(), "the disk is full") {
		t.Errorf("%+v", e)
	}
	if missing := <-s.missing; len(missing) != 1 {
		t.Errorf("%v", missing)
	}
}

// TestHostBreaksOff: a host that got everything and never says that it has it.
func TestHostBreaksOff(t *testing.T) {
	s := newSeat(t, membership(t), nil, "ops-1")
	secret, err := parseToken(s.Invitations()[0].Token)
	if err != nil {
		t.Fatal(err)
	}
	_, csr, err := NewRequest("ops-1")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(t.Context(), s.address, secret)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := send(conn, request{Host: "ops-1", Certificate: csr}); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(conn).Decode(&a); err != nil || a.Membership == nil {
		t.Fatal(err)
	}
	conn.Close()
	if e := <-s.events; e.Err == nil || !strings.Contains(e.Err.Error(), "before the host has confirmed") {
		t.Errorf("%+v", e)
	}
	if missing := <-s.missing; len(missing) != 1 {
		t.Errorf("%v", missing)
	}
}

// tap is a stranger in the middle that passes everything on and keeps it.
func tap(t *testing.T, to string) (address string, seen func() []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all bytes.Buffer
	var open sync.WaitGroup
	open.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			pass := func(from, to net.Conn) {
				buf := make([]byte, 4096)
				for {
					n, err := from.Read(buf)
					mu.Lock()
					all.Write(buf[:n])
					mu.Unlock()
					to.Write(buf[:n])
					if err != nil {
						to.Close()
						return
					}
				}
			}
			open.Go(func() { pass(in, out) })
			open.Go(func() { pass(out, in) })
		}
	})
	t.Cleanup(func() { l.Close(); open.Wait() })
	return l.Addr().String(), func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(all.Bytes())
	}
}

// TestTraffic: it has neither the token nor anything of the membership, also for a reader that has the token.
func TestTraffic(t *testing.T) {
	ca, caPEM := authority(t)
	m := membership(t)
	m.Authority = caPEM
	s := newSeat(t, m, ca, "ops-1")
	address, seen := tap(t, s.address)
	text := s.Invitations()[0].Token
	if err := Join(t.Context(), address, text, "ops-1", nothing); err != nil {
		t.Fatal(err)
	}
	<-s.missing
	all := seen()
	secret, err := parseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(caPEM))
	for what, piece := range map[string][]byte{"the token": []byte(secret.letters), "the token in groups": []byte(text),
		"the site's key": []byte(m.Keys), "the operators": []byte(m.Operators), "the authority": block.Bytes,
		"the key": secret.seed()} {
		if bytes.Contains(all, piece) {
			t.Errorf("the traffic has %s", what)
		}
	}
	if !bytes.Contains(all, []byte(secret.name())) {
		t.Error("the traffic does not name the invitation: this test looks at something else")
	}
}

// TestStrangerInvites: an inviter that does not know the token gets nothing, and gives nothing.
func TestStrangerInvites(t *testing.T) {
	real, stranger := newToken(), newToken()
	site, err := siteOf(stranger, "inviter")
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", site.Server())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		text, _ := io.ReadAll(conn)
		got <- text
	}()
	err = Join(t.Context(), l.Addr().String(), real.String(), "ops-1", func(Membership, []byte) error {
		t.Error("a stranger's membership is taken")
		return nil
	})
	if !errors.Is(err, ErrToken) {
		t.Error(err)
	}
	if text := <-got; len(text) > 0 {
		t.Errorf("the stranger has read %q", text)
	}
}

// TestStrangerAsks: a caller that knows the name of an invitation, from the network, and not its token.
func TestStrangerAsks(t *testing.T) {
	s := newSeat(t, membership(t), nil, "ops-1")
	real, err := parseToken(s.Invitations()[0].Token)
	if err != nil {
		t.Fatal(err)
	}
	site, err := siteOf(newToken(), "host")
	if err != nil {
		t.Fatal(err)
	}
	c := site.Client("")
	c.ServerName, c.VerifyConnection = real.name(), nil
	conn, err := tls.Dial("tcp", s.address, c)
	if err == nil { // the client of TLS 1.3 ends its handshake before the server has looked
		fmt.Fprintln(conn, `{"host":"ops-1"}`)
		text, _ := io.ReadAll(conn)
		if len(text) > 0 {
			t.Errorf("the stranger got %q", text)
		}
		conn.Close()
	}
	if err := Join(t.Context(), s.address, real.String(), "ops-1", nothing); err != nil {
		t.Errorf("the stranger has spent the invitation: %v", err)
	}
}

// TestFlood: silent connections of one address take no more than their places, and give them back.
func TestFlood(t *testing.T) {
	s := newSeat(t, membership(t), nil, "ops-1")
	var held []net.Conn
	for range maxByAddress + 1 {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
	}
	if _, err := held[maxByAddress].Read(make([]byte, 1)); err == nil {
		t.Error("one connection too many stays open")
	}
	for _, conn := range held {
		conn.Close()
	}
	for {
		err := Join(t.Context(), s.address, s.Invitations()[0].Token, "ops-1", nothing)
		if err == nil {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestMembershipsAreChecked: a site without operators, and a broken one, are found before a token is made.
func TestMembershipsAreChecked(t *testing.T) {
	for what, change := range map[string]func(*Membership){
		"cluster":   func(m *Membership) { m.Cluster = "" },
		"key":       func(m *Membership) { m.Keys = "sk1-x" },
		"operators": func(m *Membership) { m.Operators = "" },
		"builders":  func(m *Membership) { m.Builders = "x" },
	} {
		m := membership(t)
		change(&m)
		if _, err := NewInviter(Config{Membership: m, Hosts: []string{"a"}, For: time.Hour}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	m := membership(t)
	for _, hosts := range [][]string{nil, {"a", "a"}, {"a b"}, make([]string, maxHosts+1)} {
		if _, err := NewInviter(Config{Membership: m, Hosts: hosts, For: time.Hour}); err == nil {
			t.Errorf("%d hosts: no error", len(hosts))
		}
	}
	for _, text := range []string{fmt.Sprint(m), fmt.Sprintf("%+v", m), fmt.Sprintf("%#v", m)} {
		if strings.Contains(text, m.Keys) {
			t.Errorf("it prints its key: %s", text)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add(newToken().String())
	f.Add("o0-Il 1")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseToken(text)
		if err != nil {
			return
		}
		if again, err := parseToken(got.String()); err != nil || again != got {
			t.Errorf("%v", err)
		}
	})
}
