package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/quote"
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

// clockTolerance is the least difference of clocks that doctor reports, because it makes
// the times of logs hard to compare. skerry itself uses only the database's clock.
const clockTolerance = 5 * time.Second

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
	p, err := db.Probe(ctx)
	if errors.Is(err, postgres.ErrParameter) {
		f.problem("do what it says, or mend database.url", "%s: %v", p.Address, err)
		return f.list
	}
	if err != nil {
		f.problem(quote.Lines(db.Advice(err)), "%s: %v", p.Address, err)
		return f.list
	}
	describeDatabase(f, p)
	for _, wrong := range p.Problems() {
		f.problem(quote.Lines(wrong.Do), "%s", quote.Lines(wrong.What))
	}
	return f.list
}

// describeKeys reports where the site's key is stored and which users can read it.
func describeKeys(f *findings, p postgres.Report) {
	if p.Keys <= 0 {
		return
	}
	f.fine("the site's key lies in skerry_secret; superusers and copies of the database have it, and may read: %s",
		sortedOr(p.KeyReaders, "no other user"))
	switch l := p.Link; {
	case l.Encrypted && !l.Verified && !l.Socket && !l.Loopback:
		f.hint("let the server prove its name: sslmode=verify-full and sslrootcert in database.url",
			"the connection has TLS (%s), and the server has proved nothing: another one could stand between", l.TLS)
	case !l.Private():
		f.hint("encrypt the connection: sslmode=verify-full in database.url",
			"this connection has no TLS: a listener on the network reads the site's key, and could alter what the "+
				"database says")
	}
}

func describeDatabase(f *findings, p postgres.Report) {
	f.fine("%s: PostgreSQL %s, answers in %s, %d of %d connections in use", p.Address, p.Version, latency(p.Latency),
		p.Connections, p.MaxConnections)
	if len(p.Missing) == 0 && p.CanRead && p.CanWrite {
		f.fine("tables of version %d, which %s may read and write; clusters in them: %s", p.SchemaVersion, p.User,
			sortedOr(p.Clusters, "none"))
	}
	if p.Schema != "" {
		f.fine("schema %s, search_path %s", p.Schema, p.SearchPath)
	}
	if len(p.Missing) > 0 && p.CanCreate {
		f.fine("tables are missing (%s); the first service makes them, as %s may do so", strings.Join(p.Missing, ", "),
			p.User)
	}
	if p.Notifies && p.CanListen {
		f.fine("notifications arrive: changes are seen at once")
	}
	describeKeys(f, p)
	if p.Plain {
		f.hint("connect to PostgreSQL itself when there is no need for the pooler",
			"it takes no start-up parameters: probably a pooler")
	}
	if off := p.ClockOffset.Abs(); off > clockTolerance {
		f.hint("set this host's clock, so that logs can be compared; skerry does not depend on it",
			"the database's clock and this host's differ by %s", age(off))
	}
	if h := p.Oldest; h != nil {
		f.fine("the oldest snapshot is held by process %d (%s, %s) for %s",
			h.PID, h.User, orDash(h.Application), age(h.Age))
	}
}
