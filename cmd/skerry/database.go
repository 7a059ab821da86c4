package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// database returns the database registry of a configuration for queries. The
// registry is never run.
func database(c skerry.Config) (*postgres.Registry, error) {
	db, err := postgres.New(postgres.Config{
		URL: c.Database.URL, Cluster: c.Cluster, Owner: registry.NewOwner(),
		Heartbeat: c.Database.Heartbeat, Expiry: c.Database.Expiry, Poll: c.Database.Poll,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, usagef("%w", err)
	}
	return db, nil
}

// databaseStats returns the rows of the statistics table that the query selects.
func (a *app) databaseStats(ctx context.Context, c skerry.Config, q statsQuery) ([]health.Row, string, error) {
	db, err := database(c)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, a.flags.timeout)
	defer cancel()
	stats, err := db.Stats(ctx, postgres.StatQuery{Since: q.since, Service: q.service, ByPeer: q.by == "peer"})
	switch {
	case errors.Is(err, registry.ErrUnavailable):
		return nil, "", unreachablef("%w\nThe statistics logs of this host can be read with --log FILES.", err)
	case err != nil:
		return nil, "", problemf("%w", err)
	}
	var rows []health.Row
	for i := range stats {
		if r := rowOf(&stats[i]); q.wants(r) {
			rows = append(rows, r)
		}
	}
	return rows, fmt.Sprintf("skerry_call_stat of cluster %q", c.Cluster), nil
}

func rowOf(s *postgres.Stat) health.Row {
	side := health.Client
	if s.Side == health.Server.String() {
		side = health.Server
	}
	return health.Row{
		Key:  health.Key{Side: side, Service: s.Service, Method: s.Method, Peer: s.Peer, Version: s.Version},
		From: s.First, To: s.Last, Outcomes: s.Outcomes, Sum: s.Mean * time.Duration(s.Calls), P50: s.P50,
		P99: s.P99, Max: s.Max,
	}
}

// examineDatabase reports whether the database can be used, by which users and how well.
func examineDatabase(ctx context.Context, c skerry.Config) []finding {
	f := &findings{area: "Database"}
	if c.Database.URL == "" {
		if c.Mode != config.ModeBroadcast {
			f.hint("set database.url when the site has one", "none is configured: the LAN alone is used")
		}
		return f.list
	}
	db, err := database(c)
	if err != nil {
		f.problem("mend database.url", "%v", err)
		return f.list
	}
	return doctor.Database(ctx, db)
}
