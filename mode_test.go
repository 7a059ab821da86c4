package skerry

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// withDatabase is the site with a database of its own. Its leases survive a heartbeat that a busy
// machine delays by some seconds.
func withDatabase(site Config, mode config.Mode, url string) Config {
	site.Mode = mode
	site.Database = config.Database{URL: url, Heartbeat: time.Second, Expiry: 20 * time.Second, Poll: time.Second}
	return site
}

// listedBy are the sources that list the only instance of greeter.
func listedBy(n *Node) string {
	var names []string
	for _, e := range n.Explain("greeter") {
		for _, s := range e.Sources {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, " ")
}

// TestModesMeet: a node in auto is found by nodes of every mode, and finds
// those that are on the LAN only.
func TestModesMeet(t *testing.T) {
	server := pgtest.Shared(t)
	site, url := lanSite(t), server.URL(server.CreateDB(t))
	offering(t, withDatabase(site, config.ModeAuto, url), &greeter{name: "anna"})
	for _, c := range []struct {
		mode    config.Mode
		sources string
	}{{config.ModeAuto, "database lan"}, {config.ModeDatabase, "database"}, {config.ModeBroadcast, "lan"}} {
		consumer := open(t, withDatabase(site, c.mode, url))
		// A call gives up after 3 s, and a busy machine may take longer to connect to the database.
		eventually(t, string(c.mode)+": found", func() bool {
			got, _ := greet(t.Context(), consumer)
			return got == "anna"
		})
		eventually(t, string(c.mode)+": listed by "+c.sources, func() bool { return listedBy(consumer) == c.sources })
	}
}

// TestStartWithoutDatabase opens nodes while the database is down. They open at once, and in auto
// they find each other on the LAN. When the database is up they are registered in it, and a process
// that knows only the database finds them.
func TestStartWithoutDatabase(t *testing.T) {
	server := pgtest.Own(t, pgtest.Options{})
	url := server.URL(server.CreateDB(t))
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	site, log := lanSite(t), &transcript{}
	began := time.Now()
	offering(t, withDatabase(site, config.ModeAuto, url), &greeter{name: "anna"},
		WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	consumer := open(t, withDatabase(site, config.ModeAuto, url))
	late := open(t, withDatabase(site, config.ModeDatabase, url))
	if got, err := greet(t.Context(), consumer); got != "anna" || err != nil {
		t.Errorf("through the LAN: %q, %v", got, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("opened, offered and called in %v; that must not wait for the database", took)
	}
	eventually(t, "the log says so", func() bool { return log.count("database can't be used") == 1 })

	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "found through the database", func() bool {
		got, _ := greet(t.Context(), late)
		return got == "anna"
	})
	eventually(t, "the log says that it is back", func() bool { return log.count("database is back") == 1 })

	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log says that it is lost", func() bool { return log.count("database lost") == 1 })
	for range 20 {
		if got, err := greet(t.Context(), late); got != "anna" || err != nil {
			t.Fatalf("with the database lost: %q, %v", got, err)
		}
	}
}

// transcript is a log that a test reads.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// TestStatistics: while the database can be reached, call statistics of both sides are written to
// its table; without a database they are written to the file.
func TestStatistics(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	for _, c := range []struct{ mode, other config.Mode }{{config.ModeDatabase, ""}, {config.ModeBroadcast, ""}} {
		t.Run(string(c.mode), func(t *testing.T) {
			site := withDatabase(lanSite(t), c.mode, server.URL(db))
			site.Stats.File = filepath.Join(t.TempDir(), "stats.log")
			provider := offering(t, site, &greeter{name: "anna"})
			consumer := open(t, site)
			eventually(t, "a call", func() bool { _, err := greet(t.Context(), consumer); return err == nil })
			for _, n := range []*Node{consumer, provider} {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}
			text, err := os.ReadFile(site.Stats.File)
			if (err == nil) != (c.mode == config.ModeBroadcast) {
				t.Fatalf("the file: %v", err)
			}
			if err == nil {
				for _, want := range []string{`"client"`, `"server"`, `"WhoAmI"`, `"whoAmI"`} {
					if strings.Contains(strings.ToLower(string(text)), strings.ToLower(want)) {
						continue
					}
					t.Errorf("the file lacks %s:\n%s", want, text)
				}
				return
			}
			server.Exec(t, db,
				`DO $$ BEGIN
					ASSERT (SELECT count(DISTINCT side) FROM skerry_call_stat WHERE service = 'greeter') = 2;
				END $$`)
		})
	}
}

// TestManyServicesOnTheLAN offers more services than fit in a datagram. Peers fetch the rest from
// the internal service.
func TestManyServicesOnTheLAN(t *testing.T) {
	site := lanSite(t)
	provider := open(t, site)
	for i := range 40 {
		name := fmt.Sprintf("a-service-with-a-rather-long-name-%02d", i)
		if err := provider.Handle(t.Context(), name, wire.NewInternalProcessor(&greeter{name: name})); err != nil {
			t.Fatal(err)
		}
	}
	consumer := open(t, site, WithAllServices())
	eventually(t, "all 40 are listed", func() bool { return len(consumer.Explain("")) == 40 })
	c := consumer.Client("a-service-with-a-rather-long-name-39")
	id, err := wire.NewInternalClient(c).WhoAmI(t.Context())
	if err != nil || id.Release != "a-service-with-a-rather-long-name-39" {
		t.Errorf("the last of them: %v, %v", id, err)
	}
}

// TestInternalService calls the framework's own service for data about its process, by a
// description fetched as peers on the LAN fetch it.
func TestInternalService(t *testing.T) {
	site := lanSite(t)
	n, asker := offering(t, site, &greeter{}), open(t, withState(t, site))
	foreign := registry.Instance{Service: "billing", Host: "10.0.0.5", Port: 9090,
		Protocol: registry.ProtocolFramedBinary}
	if err := n.Register(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	addr := n.offers.fetchAddr()
	var list []registry.Instance
	var err error
	eventually(t, "the node itself is offered, too", func() bool {
		list, err = asker.members.Describe(t.Context(), strings.Replace(addr, "0.0.0.0", "127.0.0.1", 1), n.owner)
		return err != nil || len(list) == 3
	})
	if err != nil || len(list) != 3 || list[2].Service != membership.NodeService || list[0].Service != "billing" ||
		list[1].Service != "greeter" || list[1].Version != "v1" || list[1].Host != "127.0.0.1" {
		t.Errorf("fetched %+v, %v", list, err)
	}
	var o *registration
	n.offers.each(func(one *registration) { o = one })
	o.stops(t.Context())
	list, err = asker.members.Describe(t.Context(), strings.Replace(addr, "0.0.0.0", "127.0.0.1", 1), n.owner)
	if err != nil || len(list) != 3 || !list[1].Leaving {
		t.Errorf("the LAN has announced that greeter leaves, and peers fetch %+v, %v", list, err)
	}
	stranger := n.owner
	stranger.Epoch++
	if _, err := asker.members.Describe(t.Context(), addr, stranger); err == nil ||
		!strings.Contains(err.Error(), "it is of process "+n.owner.String()) {
		t.Errorf("of another process: %v", err)
	}
	id, err := n.internal.WhoAmI(t.Context())
	if err != nil || id.Cluster != "test" || len(id.Services) != 1 || id.Release == "" {
		t.Errorf("WhoAmI: %+v, %v", id, err)
	}
}

// TestColdStart opens a consumer while its registry is away: it calls by the
// last known list on disk.
func TestColdStart(t *testing.T) {
	hub := &registrytest.MemoryStore{}
	config := Config{StateDir: t.TempDir(), Stop: config.Stop{Grace: -1},
		Service: config.Service{Name: "greeter", Advertise: "127.0.0.1"}}
	offering(t, config, &greeter{name: "anna"}, memorySite(hub))
	config = lanOf(config)
	before := open(t, config, memorySite(hub))
	eventually(t, "a call", func() bool { _, err := greet(t.Context(), before); return err == nil })
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	after := open(t, config, func(o *options) {
		o.sources = func(owner registry.Owner) []discovery.Source {
			m := registrytest.NewMemory(hub, owner)
			m.Fail(errors.New("cable cut"))
			return []discovery.Source{{Name: "memory", Registry: m}}
		}
	})
	if got, err := greet(t.Context(), after); got != "anna" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if e := after.Explain("greeter"); len(e) != 1 || !e[0].Stale {
		t.Errorf("want one entry, marked stale; got %+v", e)
	}
}

// TestFirstStartWithoutDatabase: a process in auto without the site's key waits for the database's
// key only while it may still come. With the database down it finds the processes of its host, and
// Close is not late.
func TestFirstStartWithoutDatabase(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	site := lanSite(t)
	site.LAN.Key = ""
	const nowhere = "postgres://nobody@127.0.0.1:1/none"
	provider := offering(t, withDatabase(site, config.ModeAuto, nowhere), &greeter{name: "anna"})
	consumer := open(t, withDatabase(site, config.ModeAuto, nowhere))
	for _, n := range []*Node{provider, consumer} {
		if !n.trust.Keyless() {
			t.Fatal("it has a key: the test proves nothing")
		}
		select {
		case <-n.keyless:
		case <-time.After(time.Minute):
			t.Fatal("the LAN still waits for the key of a database that is away")
		}
	}
	eventually(t, "found on the LAN", func() bool { got, _ := greet(t.Context(), consumer); return got == "anna" })
}
