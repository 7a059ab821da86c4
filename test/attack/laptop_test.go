//go:build linux

package attack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// laptop is the attacker's machine: a network namespace from which the test itself sends.
type laptop struct {
	t         *testing.T
	namespace string
}

// inside runs f on a thread that is in the namespace: sockets that f makes stay there.
func (l laptop) inside(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open("/var/run/netns/" + l.namespace)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // the thread would continue in the wrong network
		}
	}()
	return f()
}

// dial makes a TCP connection from the laptop.
func (l laptop) dial(ctx context.Context, addr string) (nc net.Conn, err error) {
	err = l.inside(func() (err error) {
		nc, err = (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, "tcp4", addr)
		return err
	})
	return nc, err
}

// listen listens on the laptop.
func (l laptop) listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	var ln net.Listener
	must(t, l.inside(func() (err error) { ln, err = net.Listen("tcp4", addr); return err }))
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// mark names the host as its own processes do, for addresses that only they can use.
func (l laptop) mark(t *testing.T) string {
	t.Helper()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	must(t, err)
	var network string
	must(t, l.inside(func() (err error) { network, err = os.Readlink("/proc/thread-self/ns/net"); return err }))
	return fmt.Sprintf("%.8s.%s", boot, strings.Trim(network, "net:[]"))
}

// udp returns a socket for datagrams, including broadcast.
func (l laptop) udp(t *testing.T, addr string) net.PacketConn {
	t.Helper()
	var pc net.PacketConn
	must(t, l.inside(func() (err error) { pc, err = net.ListenPacket("udp4", addr); return err }))
	t.Cleanup(func() { _ = pc.Close() })
	return pc
}

// identity is what an attacker holds.
type identity struct {
	name    string
	laptop  laptop
	cluster string
	owner   string       // the process that it claims to be
	cert    *tls.Config  // of the site's authority, or of another one; nil: no TLS
	key     *sitekey.Key // of the site, or of another one; nil: none
	member  bool         // a process of the site must count it as a member
}

// client returns a client of one process with this identity.
func (i identity) client(t *testing.T, addr, service string) *rpc.Client {
	t.Helper()
	cfg := rpc.ClientConfig{
		Resolver: rpc.Static(&rpc.Endpoint{ID: addr, Service: service, Addr: addr, TLS: i.cert != nil &&
			i.key == nil, Site: i.key != nil}),
		Caller: "laptop", Dial: i.laptop.dial, ConnectTimeout: 20 * time.Second, TLS: i.cert,
		Identity: rpc.Identity{Cluster: i.cluster, Owner: i.owner},
	}
	if i.key != nil {
		cfg.Site = i.site(t)
	}
	c, err := rpc.NewClient(cfg)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// site is the identity's part in site connections.
func (i identity) site(t *testing.T) *sitetls.Site {
	t.Helper()
	seed := i.key.Use("site", i.cluster)
	s, err := sitetls.New(sitetls.Config{Cluster: i.cluster, Owner: i.owner,
		Seeds: func() [][]byte { return [][]byte{seed} }})
	must(t, err)
	return s
}

// internal returns a client of skerry.internal of a process.
func (i identity) internal(t *testing.T, addr string) *wire.InternalClient {
	t.Helper()
	s, err := i.client(t, addr, "skerry.internal").Service("skerry.internal",
		rpc.ServiceOptions{Timeout: 30 * time.Second})
	must(t, err)
	return wire.NewInternalClient(s)
}

// refusedAs fails the test unless the call was refused by a code, unexecuted.
func refusedAs(t *testing.T, what string, err error, code rpc.Code) {
	t.Helper()
	e, ok := errors.AsType[*rpc.Error](err)
	if !ok || e.Code != code || e.Executed != rpc.NotExecuted {
		t.Errorf("%s: %v; want %v, not executed", what, err, code)
	}
}

// rulesRefused fails the test unless rules were refused for one of the reasons.
func rulesRefused(t *testing.T, what string, err error, codes ...string) {
	t.Helper()
	r, ok := errors.AsType[*wire.RulesRefused](err)
	for _, code := range codes {
		if ok && r.Code == code {
			return
		}
	}
	t.Errorf("%s: %v; want a refusal as %v", what, err, codes)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
