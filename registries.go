package skerry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/internal/trust"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// The names of the sources in lists, logs and tools.
const (
	sourceDatabase = membership.Database
	sourceLAN      = broadcast.Source
)

// mode is the effective mode.
func (n *Node) mode() config.Mode {
	if n.cfg.Mode == config.ModeAuto && n.cfg.Database.URL == "" {
		return config.ModeBroadcast
	}
	return n.cfg.Mode
}

// newSources makes the registries of the mode. In ModeAuto both run all the time, so that no switch
// can be missed: when the database is lost the LAN already works, and nodes without a database are
// found.
func (n *Node) newSources(m *membership.Membership) ([]discovery.Source, error) {
	if n.opts.sources != nil {
		return n.opts.sources(n.owner), nil
	}
	var list []discovery.Source
	if n.mode() != config.ModeBroadcast {
		db, err := postgres.New(postgres.Config{
			URL: n.cfg.Database.URL, Cluster: n.cfg.Cluster, Owner: n.owner,
			Rules: m.Learn, Applied: m.Applied,
			Policies: m.LearnPolicies, NewestPolicy: m.NewestPolicy, HeldPolicies: m.Policy().Stored,
			Secret: n.storeKeys, NewKey: n.trust.NewKey(),
			Heartbeat: n.cfg.Database.Heartbeat, Expiry: n.cfg.Database.Expiry, Poll: n.cfg.Database.Poll,
			Observe: n.opts.observer && n.opts.watchAll,
			Logger:  n.log,
		})
		if err != nil {
			return nil, fmt.Errorf("database registry: %w", err)
		}
		list = append(list, discovery.Source{Name: sourceDatabase, Registry: db})
	}
	if n.mode() != config.ModeDatabase {
		cfg := broadcast.Config{
			Cluster: n.cfg.Cluster, Owner: n.owner,
			Keys: n.trust.Use(trust.LAN), KeysChanged: n.trust.Changed, LateKeys: n.lateKeys(),
			Open: n.trust.Mode() == trust.Open,
			Port: n.cfg.LAN.Port, Ports: n.cfg.LAN.Ports, Interfaces: n.cfg.LAN.Interfaces, Seeds: n.cfg.LAN.Seeds,
			Announce:  n.cfg.LAN.Announce,
			Fetch:     m.Describe,
			FetchAddr: func() string { return n.offers.fetchAddr() },
			Logger:    n.log,
		}
		n.keepPeers(&cfg)
		lan, err := broadcast.New(cfg)
		if err != nil {
			return nil, fmt.Errorf("LAN registry: %w", err)
		}
		list = append(list, discovery.Source{Name: sourceLAN, Registry: lan})
	}
	return list, nil
}

// lateKeys is open while the database may still deliver the site's key; nil if it delivers none to
// the LAN.
func (n *Node) lateKeys() <-chan struct{} {
	if n.mode() != config.ModeAuto || n.trust.Mode() != "" {
		return nil
	}
	n.keyless = make(chan struct{})
	return n.keyless
}

func (n *Node) sourceNames() []string {
	var names []string
	for _, s := range n.sources {
		names = append(names, s.Name)
	}
	return names
}

// watchDatabase logs each loss and each return of the database, with the consequence.
func (n *Node) watchDatabase() {
	for _, s := range n.sources {
		if s.Name != sourceDatabase {
			continue
		}
		t := transitions{mode: n.mode(), begun: time.Now()}
		noKeys := sync.OnceFunc(func() {
			if n.keyless != nil {
				close(n.keyless)
			}
		})
		stop := s.Registry.Watch(membership.InternalService, func(snap registry.Snapshot) {
			if snap.Lost != nil {
				noKeys()
			}
			if text, args := t.heard(snap.Lost, time.Now()); text != "" {
				n.log.Warn(text, args...)
			}
		})
		n.lookout.Go(func(ctx context.Context) error {
			<-ctx.Done()
			stop()
			return nil
		})
	}
}

// transitions turns the states of the database registry into sentences.
type transitions struct {
	mode  config.Mode
	begun time.Time
	known bool      // it was reached once
	lost  time.Time // zero while it can be reached
}

// heard returns the sentence for a change, "" without a change.
func (t *transitions) heard(lost error, now time.Time) (text string, args []any) {
	switch {
	case lost != nil && t.lost.IsZero():
		t.lost = now
		text = "database lost: calls go on from the known lists; the database is tried again until it is back"
		if !t.known {
			text = "database can't be used: it is tried again until it can, and everything is registered then"
		}
		if t.mode == config.ModeAuto {
			text += "; meanwhile the LAN says which processes come and go"
		}
		return text, []any{"err", lost}
	case lost == nil && !t.lost.IsZero():
		away := now.Sub(t.lost).Round(time.Second)
		t.lost, t.known = time.Time{}, true
		return "database is back: registrations and lists go through it again", []any{"away", away}
	case lost == nil:
		t.known = true
	}
	return "", nil
}

// keepPeers makes the LAN registry keep the addresses of its peers in a file.
func (n *Node) keepPeers(c *broadcast.Config) {
	if n.files.Path(state.Peers) == "" {
		return
	}
	c.LoadPeers = func() ([]string, error) { return state.Read[[]string](n.files, state.Peers) }
	c.SavePeers = func(list []string) error { return n.files.Write(state.Peers, list) }
}
