package skerry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
	"github.com/skerry/skerry/rpc"
)

// TestReusedPort kills a process that runs this test program.
const (
	victimURL   = "SKERRY_TEST_VICTIM_URL"
	victimMode  = "SKERRY_TEST_VICTIM_MODE"
	victimPort  = "SKERRY_TEST_VICTIM_PORT"
	victimLAN   = "SKERRY_TEST_VICTIM_LAN"
	victimPlain = "SKERRY_TEST_VICTIM_PLAIN"
)

// TestVictim offers greeter v1 until TestReusedPort, which has started it, kills it.
func TestVictim(t *testing.T) {
	if os.Getenv(victimURL) == "" {
		return // an ordinary run of the tests
	}
	var lan int
	must(t, "read the port", func() error { _, err := fmt.Sscan(os.Getenv(victimLAN), &lan); return err }())
	c := portSite(lan, config.Mode(os.Getenv(victimMode)), os.Getenv(victimURL))
	port := os.Getenv(victimPort)
	if os.Getenv(victimPlain) != "" {
		n := open(t, c)
		serveplain(t, port, &greeter{name: "v1"})
		must(t, "announce", n.Register(t.Context(), registry.Instance{Service: "greeter", Version: "v1",
			Host: "127.0.0.1",
			Port: atoi(t, port), Protocol: registry.ProtocolFramedBinary}))
	} else {
		c.Service.Listen = ":" + port
		offering(t, c, &greeter{name: "v1"})
	}
	select {}
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	_, err := fmt.Sscan(s, &n)
	must(t, "read a number", err)
	return n
}

// portSite is a site that keeps dead processes in the database for 90 s.
func portSite(lan int, mode config.Mode, url string) Config {
	return Config{
		Cluster: "test", Mode: mode, StateDir: "none",
		LAN:      config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: lan, Key: lab.SiteKey},
		Database: config.Database{URL: url, Heartbeat: 5 * time.Second, Expiry: 90 * time.Second, Poll: time.Second},
	}
}

// serveplain serves like a stock Thrift library, at a port of this host.
func serveplain(t *testing.T, port string, g *greeter) {
	t.Helper()
	var socket *thrift.TServerSocket
	eventually(t, "the port is free", func() bool {
		var err error
		socket, err = thrift.NewTServerSocket("127.0.0.1:" + port)
		return err == nil && socket.Listen() == nil
	})
	conf := &thrift.TConfiguration{}
	server := thrift.NewTSimpleServer4(wire.NewInternalProcessor(g), socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(),
			conf), thrift.NewTBinaryProtocolFactoryConf(conf))
	go func() { _ = server.Serve() }()           // it ends with its connections,
	t.Cleanup(func() { _ = socket.Interrupt() }) // which are the consumer's
}

// TestReusedPort kills the only instance of v1 while its lease in the database goes on, and gives
// its port to another process. A consumer of v1 executes nothing there, and its list does not show
// the dead entry as well.
func TestReusedPort(t *testing.T) {
	server := pgtest.Shared(t)
	for _, mode := range []config.Mode{config.ModeDatabase, config.ModeAuto} {
		for _, heir := range []string{"version", "cluster", "plain server", "plain by skerry"} {
			t.Run(string(mode)+"/"+heir, func(t *testing.T) {
				t.Parallel()
				// A kernel gives the port to no connection, because the scenes run side by side.
				url, lan, port := server.URL(server.CreateDB(t)), lab.Port(t), fmt.Sprint(lab.Port(t))
				plain := strings.HasPrefix(heir, "plain")
				victim := exec.Command(os.Args[0], "-test.run=^TestVictim$")
				victim.Env = append(os.Environ(), victimURL+"="+url, victimMode+"="+string(mode), victimPort+"="+port,
					fmt.Sprintf("%s=%d", victimLAN, lan))
				if plain {
					victim.Env = append(victim.Env, victimPlain+"=yes")
				}
				must(t, "start v1", victim.Start())
				t.Cleanup(func() { _ = victim.Process.Kill() })

				site := portSite(lan, mode, url)
				site.Consumers = map[string]config.Consumer{"greeter": {Version: "v1"}}
				consumer := open(t, site)
				eventually(t, "v1 answers", func() bool {
					name, _ := greet(t.Context(), consumer)
					return name == "v1"
				})
				eventually(t, "the process of v1 is known", func() bool {
					for _, e := range consumer.Explain("greeter") {
						owner, err := registry.ParseOwner(e.Owner)
						if _, known := consumer.members.Find(owner); err == nil && known {
							return true
						}
					}
					return false
				})
				if plain { // a server that never answered is out of reach, and is still called
					eventually(t, "the process of v1 answers", func() bool {
						_, _ = greet(t.Context(), consumer)
						return listerAnswered(consumer)
					})
				}
				must(t, "kill -9", victim.Process.Kill())
				_ = victim.Wait() // reports that the process was killed

				wrong := &greeter{name: "wrong"}
				switch heir {
				case "plain server":
					serveplain(t, port, wrong)
				default:
					other := portSite(lan, mode, url)
					if heir != "version" {
						other.Cluster = "another"
					}
					other.Service = config.Service{Name: "greeter", Version: "v2", Listen: ":" + port}
					n := open(t, other)
					eventually(t, "v2 has the port", func() bool {
						return n.Handle(t.Context(), "greeter", wire.NewInternalProcessor(wrong)) == nil
					})
				}
				for range 15 {
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					name, err := greet(ctx, consumer)
					cancel()
					if err == nil || name != "" {
						t.Errorf("answered by %q", name)
					}
					time.Sleep(100 * time.Millisecond) // duration of a suspect's probes
				}
				if n := wrong.calls.Load(); n != 0 {
					t.Errorf("%d calls of v1 were executed by another process", n)
				}
				for _, e := range consumer.Explain("greeter") {
					if e.Version == "v1" && e.State.Well() {
						t.Errorf("the dead entry is %s (%s)", e.State, e.Why)
					}
				}
			})
		}
	}
}

// listerAnswered reports whether a process that lists greeter has answered.
func listerAnswered(n *Node) bool {
	for _, e := range n.Explain("greeter") {
		if n.members.Proven(e.Owner) {
			return true
		}
	}
	return false
}

// TestVouchNeedsProof: only certain evidence counts against a plain server.
func TestVouchNeedsProof(t *testing.T) {
	n := open(t, Config{StateDir: "none"}, memorySite(&registrytest.MemoryStore{}))
	vouch := func(announcer string) error {
		return n.members.Vouch(t.Context(), &rpc.Endpoint{Announcer: announcer, Addr: "127.0.0.1:1"})
	}
	if err := vouch("nobody/1/knows"); err != nil {
		t.Errorf("an announcer that is not known: %v", err)
	}
	dead := registry.Owner{Host: n.owner.Host, PID: 4711, Epoch: 1}
	n.members.Hear("test", registry.Snapshot{Instances: []registry.Instance{
		{Service: membership.NodeService, Host: "127.0.0.1", Port: lab.Port(t), Owner: dead}}})
	if err := vouch(dead.String()); !errors.Is(err, rpc.ErrOther) {
		t.Errorf("nothing listens at the announcer's address: %v", err)
	}
	if err := vouch(n.owner.String()); err != nil {
		t.Errorf("this process itself: %v", err)
	}
}

// The end of a process that has answered is noticed by the connection of its answer. It ends the
// proof without a further question.
func TestVouchNoticesTheEnd(t *testing.T) {
	site := lanSite(t)
	lister, n := offering(t, site, &greeter{name: "anna"}), open(t, site)
	eventually(t, "the lister is known", func() bool { _, known := n.members.Find(lister.owner); return known })
	e := &rpc.Endpoint{Announcer: lister.owner.String()}
	stands := func() bool { return n.members.Proven(e.Announcer) }
	eventually(t, "the lister answers", func() bool { return n.members.Vouch(t.Context(), e) == nil && stands() })
	must(t, "close the lister", lister.Close())
	eventually(t, "the proof has ended", func() bool { return !stands() })
	if err := n.members.Vouch(t.Context(), e); !errors.Is(err, rpc.ErrOther) {
		t.Errorf("after its end: %v", err)
	}
}
