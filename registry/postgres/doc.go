// Package postgres keeps the service registry and the call statistics in a
// PostgreSQL database that the site already runs. All SQL of the module is
// here.
//
// # Tables
//
// A process has one row in skerry_lease, which is all that its heartbeat
// writes, and one row in skerry_instance for each registration, which changes
// only when the registration does. A removed registration stays for at least
// ten minutes as a row that says so. skerry_revision numbers the changes of a
// cluster in the order of their commits; skerry_cluster knows when somebody
// last wrote. skerry_call_stat holds the call statistics. The view
// skerry_service_registry shows it all to a person: service, host, port,
// version, last heartbeat, age. [Schema] is the SQL; the first process makes the tables,
// under a lock, unless its user may not: then every error carries the SQL for
// the administrator ([RightsError]). Rows of different clusters have nothing to
// do with each other.
//
// # A process and its connection
//
// A process has one connection, which listens, beats, and carries everything
// else: registrations, statistics, the rules of releases, the goodbye. A single
// statement each 30 s renews the lease, reads what changed since the last
// revision, and looks whether the rule log has grown, whatever the number of
// services and processes. A notification brings a change with its content, so
// that nobody has to read; one that is too long, or a gap in the revisions,
// makes the reader read; a new connection, an older database or fifteen
// minutes make it read everything. A change that comes alone is told at once,
// by the statement that writes it. When many come together, as when power
// returns to a site, skerry_told spaces the notifications by 0.1 ms for each
// process, since to wake one costs the server half of that, and each brings all
// that has come since the one before. Whoever wrote sees to it. Without notifications (PollOnly, a
// standby, a pooler) the reading remains. A wait without news ends after 5 s
// with a ping of 3 s, so a frozen or cut off database is noticed within 10 s; of
// more than a hundred processes each waits in proportion longer, at most 20 s.
//
// # A server with few connections
//
// Where none of max_connections is left, whoever finds out gives its
// connection back and comes for each heartbeat only, and when it has something
// to write: it sees changes when it comes. With room again it stays. At more
// than a hundred processes each looks every quarter of an hour only, since that
// costs the server time for each connection. A process that gets none goes on trying.
//
// A process that only reads needs SELECT on the tables. Of several hosts in the
// URL the one that takes writes is preferred, unless target_session_attrs says
// otherwise. A pooler that refuses start-up parameters gets none, and no named
// statements.
//
// # Time
//
// Every moment that is compared was written by the database's now(), so a
// node's clock has no part in anything. A process tells the database lengths of
// time only. A statement that a frozen server carries out long after its sender
// has given up changes nothing: it carries the latest database time at which it
// may take effect.
//
// A lease that is older than its validity (90 s) drops out of every list at the
// reader's next read, and whoever reads next with the right to write marks the
// registrations as expired, which tells all others; one of those who may write
// does it every 5 s. Only when nobody does, a reader looks at the leases of
// everybody that it lists. But nobody expires while
// the database has not settled: it settles when somebody has been writing for
// 4/3 of a heartbeat without a break, counted also from the server's start.
// After an outage, a restart, a restored backup or a jump of the database's
// clock all leases look old at once, and their owners get the time to renew
// them.
//
// # Failure
//
// Run survives everything that happens to a database and tries again for ever,
// with jitter, at most 5 s apart; at sites of more than 300 processes up to
// 15 s, and the first one after up to 5 s, as all come at the same time.
// Meanwhile lists stay as they are and say
// Lost. A statement may take 3 s; after one that took longer the next may take
// 6, then 12 s, until a beat is answered quickly, since a busy server pays more
// for a new connection than for the answer. The server ends a statement a little
// before that, so that the connection survives; a beat is then sent again. A process whose rows are missing lists them again at its next
// heartbeat. A statement whose answer was lost is repeated, which is the same as once
// for registrations, and counts twice for statistics.
//
// # Write rate
//
// For each process one row update each 30 s; for the cluster one each 5 s; three
// for each registration that changes. Statistics: one row for each service,
// method and peer that was called in a period. Rows that nobody needs any more
// are removed every ten minutes, statistics after 7 days.
//
// # Tests
//
// Against private servers (internal/pgtest), with the suite of
// registry/registrytest, behind a proxy that cuts, and under SIGSTOP, kill -9,
// restart, promotion, restored tables and missing rights.
package postgres
