package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/registry/postgres"
)

// ClockTolerance is the least difference of clocks that doctor reports, because it makes
// the times of logs hard to compare. skerry itself uses only the database's clock.
const ClockTolerance = 5 * time.Second

// Database reports whether the database can be used, by which users and how well.
func Database(ctx context.Context, db *postgres.Registry) []Finding {
	l := List{Area: "Database"}
	p, err := db.Probe(ctx)
	if errors.Is(err, postgres.ErrParameter) {
		l.Problem("do what it says, or mend database.url", "%s: %v", p.Address, err)
		return l.All
	}
	if err != nil {
		l.Problem(quote.Lines(db.Advice(err)), "%s: %v", p.Address, err)
		return l.All
	}
	return DatabaseReport(p)
}

// DatabaseReport says what a probe has found.
func DatabaseReport(p postgres.Report) []Finding {
	l := List{Area: "Database"}
	l.database(p)
	for _, wrong := range p.Problems() {
		l.Problem(quote.Lines(wrong.Do), "%s", wrong.What)
	}
	return l.All
}

// keys reports where the site's key is stored and which users can read it.
func (l *List) keys(p postgres.Report) {
	if p.Keys <= 0 {
		return
	}
	l.Fine("the site's key lies in skerry_secret; superusers and copies of the database have it, and may read: %s",
		sortedOr(p.KeyReaders, "no other user"))
	switch link := p.Link; {
	case link.Encrypted && !link.Verified && !link.Socket && !link.Loopback:
		l.Hint("let the server prove its name: sslmode=verify-full and sslrootcert in database.url",
			"the connection has TLS (%s), and the server has proved nothing: another one could stand between", link.TLS)
	case !link.Private():
		l.Hint("encrypt the connection: sslmode=verify-full in database.url",
			"this connection has no TLS: a listener on the network reads the site's key, and could alter what the "+
				"database says")
	}
}

func (l *List) database(p postgres.Report) {
	latency := "-"
	if p.Latency != 0 {
		latency = number.Latency(p.Latency)
	}
	l.Fine("%s: PostgreSQL %s, answers in %s, %d of %d connections in use", p.Address, p.Version, latency,
		p.Connections, p.MaxConnections)
	if len(p.Missing) == 0 && p.CanRead && p.CanWrite {
		l.Fine("tables of version %d, which %s may read and write; clusters in them: %s", p.SchemaVersion, p.User,
			sortedOr(p.Clusters, "none"))
	}
	if p.Schema != "" {
		l.Fine("schema %s, search_path %s", p.Schema, p.SearchPath)
	}
	if len(p.Missing) > 0 && p.CanCreate {
		l.Fine("tables are missing (%s); the first service makes them, as %s may do so", strings.Join(p.Missing, ", "),
			p.User)
	}
	if p.Notifies && p.CanListen {
		l.Fine("notifications arrive: changes are seen at once")
	}
	l.keys(p)
	if p.Plain {
		l.Hint("connect to PostgreSQL itself when there is no need for the pooler",
			"it takes no start-up parameters: probably a pooler")
	}
	if off := p.ClockOffset.Abs(); off > ClockTolerance {
		l.Hint("set this host's clock, so that logs can be compared; skerry does not depend on it",
			"the database's clock and this host's differ by %s", number.Age(off))
	}
	if h := p.Oldest; h != nil {
		application := h.Application
		if application == "" {
			application = "-"
		}
		l.Fine("the oldest snapshot is held by process %d (%s, %s) for %s", h.PID, h.User, application,
			number.Age(h.Age))
	}
}

// sortedOr returns the names joined in order, or none for an empty list.
func sortedOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
