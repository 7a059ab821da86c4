package gateway_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestReusedPortOfHTTP kills a process that runs this test program.
const (
	victimURL  = "SKERRY_TEST_VICTIM_URL"
	victimMode = "SKERRY_TEST_VICTIM_MODE"
	victimLAN  = "SKERRY_TEST_VICTIM_LAN"
	victimPort = "SKERRY_TEST_VICTIM_PORT"
)

// portSite is a site that keeps dead processes in the database for 90 s.
func portSite(mode config.Mode, url string, lan int) skerry.Config {
	return skerry.Config{
		Cluster: "test", Mode: mode, StateDir: "none",
		LAN:      config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: lan, Key: lab.SiteKey},
		Database: config.Database{URL: url, Heartbeat: 5 * time.Second, Expiry: 90 * time.Second, Poll: time.Second},
	}
}

// TestVictim serves HTTP and lists itself until it is killed.
func TestVictim(t *testing.T) {
	if os.Getenv(victimURL) == "" {
		return // an ordinary run of the tests
	}
	var lan, port int
	if _, err := fmt.Sscan(os.Getenv(victimLAN)+" "+os.Getenv(victimPort), &lan, &port); err != nil {
		t.Fatal(err)
	}
	n, err := skerry.Open(t.Context(), portSite(config.Mode(os.Getenv(victimMode)), os.Getenv(victimURL), lan),
		skerry.WithLogger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	serveAt(t, port, says("v1"))
	err = n.Register(t.Context(), registry.Instance{Service: "web", Version: "v1", Host: "127.0.0.1", Port: port,
		Protocol: registry.ProtocolHTTP})
	if err != nil {
		t.Fatal(err)
	}
	select {}
}

// serveAt serves HTTP at a port of this host as soon as the port is free.
func serveAt(t *testing.T, port int, h http.Handler) {
	t.Helper()
	var l net.Listener
	eventually(t, "the port is free", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		return err == nil
	})
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

// eventually waits for another process, which may be slow on a busy machine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestReusedPortOfHTTP kills the only instance of an HTTP service while its lease in the database
// goes on, and gives its port to another HTTP server. No request of the gateway reaches that
// server, nor does a health probe.
func TestReusedPortOfHTTP(t *testing.T) {
	server := pgtest.Shared(t)
	for _, mode := range []config.Mode{config.ModeDatabase, config.ModeAuto} {
		t.Run(string(mode), func(t *testing.T) {
			url, lan, port := server.URL(server.CreateDB(t)), lab.Port(t), lab.Port(t)
			victim := exec.Command(os.Args[0], "-test.run=^TestVictim$")
			victim.Env = append(os.Environ(), victimURL+"="+url, victimMode+"="+string(mode),
				fmt.Sprint(victimLAN, "=", lan), fmt.Sprint(victimPort, "=", port))
			if err := victim.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = victim.Process.Kill() })
			s := &site{t: t, config: portSite(mode, url, lan)}
			s.node = s.open(config.Service{})
			edge := s.gate(func(c *gateway.Config) { c.Routes[0].Timeout = 300 * time.Millisecond }) // time of a wait
			eventually(t, "v1 answers", func() bool {
				status, text := ask(t, http.MethodGet, edge.URL, "")
				return status == http.StatusOK && text == "v1"
			})
			eventually(t, "the process of v1 is known", func() bool { return len(s.node.Explain("skerry.node")) > 1 })
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = victim.Wait() // reports that the process was killed
			var reached atomic.Int64
			serveAt(t, port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached.Add(1)
				t.Logf("reached by %s %s of %q", r.Method, r.RequestURI, r.UserAgent())
			}))
			for i := range 20 {
				method, body := http.MethodGet, ""
				if i%2 == 1 {
					method, body = http.MethodPost, "do it"
				}
				if status, text := ask(t, method, edge.URL, body); status < http.StatusInternalServerError {
					t.Errorf("%s: %d %s", method, status, text)
				}
				time.Sleep(100 * time.Millisecond) // duration of a suspect's probes
			}
			if n := reached.Load(); n != 0 {
				t.Errorf("%d requests reached another server", n)
			}
			for _, e := range s.node.Explain("web") {
				if e.State.Well() {
					t.Errorf("the dead entry is %s (%s)", e.State, e.Why)
				}
			}
		})
	}
}
