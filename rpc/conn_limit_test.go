package rpc

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// comesFrom is a memory connection with a source address.
type comesFrom struct {
	net.Conn
	addr *net.TCPAddr
}

func (c comesFrom) RemoteAddr() net.Addr { return c.addr }

// dialFrom connects from an address.
func (l *memoryListener) dialFrom(t testing.TB, ip string) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	select {
	case l.conns <- comesFrom{far, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1024}}:
	case <-l.closed:
		t.Fatal("the listener is closed")
	}
	t.Cleanup(func() { _ = near.Close() })
	return near
}

// answers pings on a connection.
func answers(nc net.Conn) error {
	ping := appendControl(nil, controlPing, 5, 0)
	if _, err := nc.Write(ping); err != nil {
		return err
	}
	_, err := io.ReadFull(nc, make([]byte, len(ping)))
	return err
}

// closedNow reports whether the other end has closed a connection without unread bytes.
func closedNow(nc net.Conn) bool {
	_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := nc.Read(make([]byte, 1))
	_ = nc.SetReadDeadline(time.Time{})
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// Many honest clients behind one address, some of them silent so far, continue while another
// address opens as many connections as it can.
func TestCrowdBesideLoris(t *testing.T) {
	for name, first := range map[string]string{"that are silent": "", "that begin a message": "\x80\x01"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMemoryListener()
				s := serveOn(t, ServerConfig{MaxConns: 4_000}, &handler{}, l)
				const crowd = 1_000
				pool := make([]net.Conn, crowd)
				for i := range pool {
					pool[i] = l.dialFrom(t, "10.0.0.1")
					if i%2 == 0 {
						if err := answers(pool[i]); err != nil {
							t.Fatal(err)
						}
					}
				}
				for i := range 5_000 {
					nc := l.dialFrom(t, "10.0.0.66")
					if first != "" {
						_, _ = nc.Write([]byte(first))
					}
					if i%200 == 0 {
						if err := answers(l.dialFrom(t, "10.0.0.2")); err != nil {
							t.Fatalf("a newcomer, beside %d connections: %v", i, err)
						}
					}
				}
				for i, nc := range pool {
					if err := answers(nc); err != nil {
						t.Fatalf("client %d of the crowd: %v", i, err)
					}
				}
				if n := s.Stats().Connections; n > 3_000+maxReserved {
					t.Errorf("%d connections stand", n)
				}
				if first == "" {
					return
				}
				time.Sleep(transport.HeadPatience + time.Second)
				if n := s.Stats().Connections; n != crowd+25 {
					t.Errorf(
						"%d connections stand when those that have stopped within a message must be gone, want %d",
						n,
						crowd+25,
					)
				}
			})
		})
	}
}

// One address that completes a message on each of its connections can't keep all others out.
func TestFullOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{MaxConns: 300}, &handler{}, l)
		old := make([]net.Conn, 300)
		for i := range old {
			old[i] = l.dialFrom(t, "10.0.0.66")
			if err := answers(old[i]); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, old[i]) }()
		}
		for i := range 100 {
			if err := answers(l.dialFrom(t, "10.0.0.1")); err != nil {
				t.Fatalf("newcomer %d: %v", i, err)
			}
		}
		if err := answers(l.dialFrom(t, "10.0.0.66")); err == nil {
			t.Error("the address that has the most gets more")
		}
		if n := s.Stats().Connections; n > 300 {
			t.Errorf("%d connections stand", n)
		}
	})
}

// Handshakes that do not continue take no place of others, and end.
func TestStalledHandshakes(t *testing.T) {
	ca, pool := authority(t)
	cert := ca(t, "127.0.0.1")
	now := time.Now() // the time in a bubble is before the certificate's
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(
			t,
			ServerConfig{MaxConns: 300, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}},
			&handler{},
			l,
		)
		var stalled []net.Conn
		for i := range 1000 {
			nc := l.dialFrom(t, "10.0.0.66")
			_, _ = nc.Write([]byte{0x16})
			stalled = append(stalled, nc)
			if i%100 != 0 {
				continue
			}
			tc := tls.Client(
				l.dialFrom(t, "10.0.0.1"),
				&tls.Config{RootCAs: pool, ServerName: "127.0.0.1", Time: func() time.Time { return now }},
			)
			if err := answers(tc); err != nil {
				t.Fatalf("an honest client beside %d handshakes: %v", i, err)
			}
		}
		if st := s.Stats(); st.Connections != 10 || st.Handshakes > 150 {
			t.Errorf("%d connections and %d handshakes", st.Connections, st.Handshakes)
		}
		time.Sleep(transport.HandshakePatience + time.Second)
		if st := s.Stats(); st.Connections != 10 || st.Handshakes != 0 {
			t.Errorf("later: %d connections and %d handshakes", st.Connections, st.Handshakes)
		}
		for _, nc := range stalled {
			if !closedNow(nc) {
				t.Fatal("a stalled connection is still open")
			}
		}
	})
}

// A connection that fails in its handshake is closed at once, though its client waits for an answer.
func TestFailedHandshakeEnds(t *testing.T) {
	ca, _ := authority(t)
	cert := ca(t, "127.0.0.1")
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, &handler{}, l)
		nc := l.dialFrom(t, "10.0.0.66")
		begun := time.Now()
		if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, nc)
		if took := time.Since(begun); took > 0 {
			t.Errorf("it was closed after %v", took)
		}
		synctest.Wait()
		if st := s.Stats(); st.BadShakes != 1 || st.Handshakes != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// The time that a peer may take in a handshake is bounded as a whole, however
// it sends its bytes.
func TestSlowHandshake(t *testing.T) {
	site := siteOf(t, ownerB, 1)
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		serveOn(t, ServerConfig{Site: site}, &handler{}, l)
		nc := l.dialFrom(t, "10.0.0.66")
		begun := time.Now()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			hello := append([]byte{0x16, 3, 1, 0x10, 0, 1, 0, 0x0f, 0xfc}, make([]byte, 4096)...)
			for i := range hello {
				if _, err := nc.Write(hello[i : i+1]); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		_, _ = io.Copy(io.Discard, nc)
		_ = nc.Close()
		<-ended
		if took := time.Since(begun); took > transport.HandshakePatience+transport.HeadPatience || took < time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}

// A message may come slowly, as long as it goes on.
func TestSlowMessages(t *testing.T) {
	large := append(binary.BigEndian.AppendUint32(nil, 16<<20), make([]byte, 16<<20)...)
	frame := frames(t)["header-binary"]
	copy(large[4:], []byte{0x0f, 0xff})
	for _, test := range []struct {
		name  string
		send  []byte
		piece int
		every time.Duration
		most  int // bytes that are sent, then silence; 0 = all
		ends  time.Duration
	}{
		{name: "16 MiB at 1 Mbit/s", send: large, piece: 12_500, every: 100 * time.Millisecond},
		{name: "a byte now and then", send: frame, piece: 1, every: 9 * time.Second},
		{name: "the head does not go on", send: frame, piece: 3, every: time.Second, most: 3, ends: 10 * time.Second},
		{name: "the frame does not go on", send: frame, piece: 20, every: time.Second, most: 20,
			ends: 30 * time.Second},
		{name: "a large frame does not go on", send: large, piece: 1 << 20, every: time.Second, most: 1 << 20,
			ends: 30 * time.Second},
		{name: "an unframed message does not go on", send: frames(t)["unframed-binary"], piece: 20,
			every: time.Second, most: 20, ends: 30 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMemoryListener()
				serveOn(t, ServerConfig{Sizes: Sizes{Frame: 17 << 20}}, &handler{}, l)
				nc := l.dialFrom(t, "10.0.0.1")
				rest := test.send
				if test.most > 0 {
					rest = rest[:test.most]
				}
				for len(rest) > 0 {
					n := min(test.piece, len(rest))
					if _, err := nc.Write(rest[:n]); err != nil {
						t.Fatalf("%d bytes before the end: %v", len(rest), err)
					}
					if rest = rest[n:]; len(rest) > 0 {
						time.Sleep(test.every)
					}
				}
				if test.ends == 0 {
					return
				}
				begun := time.Now()
				_, _ = io.Copy(io.Discard, nc)
				if took := time.Since(begun); took != test.ends {
					t.Errorf("it ended after %v, want %v", took, test.ends)
				}
			})
		})
	}
}

// A process of the site comes in when strangers have taken all places.
func TestMembersComeInWhenAllIsTaken(t *testing.T) {
	s := serve(t, ServerConfig{MaxConns: 4, Site: siteOf(t, ownerB, 1)}, &handler{})
	for range 4 {
		if err := answers(send(t, s.addr, nil)); err != nil {
			t.Fatal(err)
		}
	}
	e := s.endpoint()
	e.Site = true
	call := stub(t, client(t, ClientConfig{Site: siteOf(t, ownerA, 1)}, e), ServiceOptions{})
	if _, err := call().Who(t.Context()); err != nil {
		t.Error(err)
	}
	if err := answers(send(t, s.addr, nil)); err == nil {
		t.Error("a stranger comes in as well")
	}
}

// A site connection makes no room for others, though it rests and comes from the
// address that has the most connections.
func TestMembersStayWhenAllIsTaken(t *testing.T) {
	s := serve(t, ServerConfig{MaxConns: 4, Site: siteOf(t, ownerB, 1)}, &handler{name: "b"})
	lost := &watcher{}
	var calls []func() *echo.EchoClient
	for _, owner := range []string{ownerA, ownerC} { // the oldest of their address
		e := s.endpoint()
		e.Site = true
		c := client(t, ClientConfig{Site: siteOf(t, owner, 1), Watcher: lost}, e)
		calls = append(calls, stub(t, c, ServiceOptions{}))
		if _, err := calls[len(calls)-1]().Who(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := answers(send(t, s.addr, nil)); err != nil {
			t.Fatal(err)
		}
	}
	stranger, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if err := answers(stranger); err != nil {
		t.Errorf("an address without a connection is kept out: %v", err)
	}
	for range 20 { // silent ones come and go
		send(t, s.addr, nil)
	}
	eventually(t, "others have made room", func() bool { return s.Stats().MadeRoom > 10 })
	lost.mu.Lock()
	down := len(lost.down)
	lost.mu.Unlock()
	if n := s.Stats().Members; n != 2 || down > 0 {
		t.Errorf("%d connections of members stand, want 2; %d were lost", n, down)
	}
	for _, call := range calls {
		if _, err := call().Who(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// The site at power return: each of 32 processes connects to each. A busy
// machine may need another try for some.
func TestPowerReturn(t *testing.T) {
	members := 32
	if raceDetector {
		members = 8
	}
	servers := make([]*testServer, members)
	owners := make([]string, members)
	for i := range servers {
		owners[i] = "host/" + strings.Repeat("1", i+1) + "/e"
		servers[i] = serve(t, ServerConfig{Site: siteOf(t, owners[i], 1)}, &handler{name: owners[i]})
	}
	failed := make(chan error, members)
	for i := range servers {
		c := client(t, ClientConfig{Site: siteOf(t, owners[i], 1), ConnectTimeout: 20 * time.Second})
		go func() {
			var all error
			for k, s := range servers {
				if k != i {
					e := &Endpoint{ID: owners[k], Service: "echo", Addr: s.addr, Site: true, Owner: owners[k]}
					err := errors.New("")
					for tries := 0; err != nil && tries < 5; tries++ {
						ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
						err = c.Check(ctx, e)
						cancel()
					}
					all = errors.Join(all, err)
				}
			}
			failed <- all
		}()
	}
	for range servers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for i, s := range servers {
		eventually(
			t,
			fmt.Sprintf("process %d has a connection with each other", i),
			func() bool { return s.Stats().Members == members-1 },
		)
		if n := s.Stats().MadeRoom; n > 0 {
			t.Errorf("process %d has sent %d away", i, n)
		}
	}
}
