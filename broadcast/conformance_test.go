package broadcast

import (
	"net"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
)

// loopback is the name of this machine's loopback interface.
func loopback(t *testing.T) string {
	nics, err := hostNICs()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nics {
		if n.loopback() && n.up() {
			return n.name
		}
	}
	t.Fatal("this machine has no loopback interface that is up")
	return ""
}

// freePort is a UDP port that nobody has.
func freePort(t *testing.T) int {
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// vanish makes a registry neither heard nor hearing, as kill -9 does.
func vanish(_ *testing.T, r registry.Registry) {
	lan := r.(*Registry)
	lan.mu.Lock()
	defer lan.mu.Unlock()
	lan.core.codec = newCodec("vanished", nil)
}

// TestConformance holds the registry against the suite, on real sockets of
// the loopback interface.
func TestConformance(t *testing.T) {
	lo := loopback(t)
	registrytest.Run(t, func(t *testing.T) *registrytest.Harness {
		port := freePort(t)
		open := func(cluster string) func(*testing.T, registry.Owner) registry.Registry {
			return func(t *testing.T, owner registry.Owner) registry.Registry {
				r, err := New(Config{Cluster: cluster, Owner: owner, Key: []byte("key of the test"), Port: port,
					Interfaces: []string{lo}, Announce: 2 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
		}
		return &registrytest.Harness{
			Open: open("here"), OpenOther: open("there"),
			Kill: vanish,
			Seen: 3 * time.Second, Dead: 8 * time.Second, Lost: 5 * time.Second, Back: 5 * time.Second,
			Partial: true,
		}
	})
}
