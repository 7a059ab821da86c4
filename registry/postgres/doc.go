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
// cluster in the order of their commits; skerry_cluster knows when the cluster
// was last written. skerry_call_stat holds the call statistics, skerry_rule the
// rule log with its end in skerry_head, skerry_secret what members of the site
// know. The view skerry_service_registry shows the lists to a person. [Schema]
// is the SQL; the first process makes the tables, unless its user may not: then
// every error carries the SQL for the administrator ([RightsError]). Rows of
// different clusters have nothing to do with each other.
//
// # A process and its connection
//
// A process has one connection, which listens, beats, and carries everything
// else: registrations, statistics, the rules of releases, the goodbye. A single
// statement each 30 s renews the lease, reads what changed since the last
// revision, and looks whether the rule log or the secret has changed, whatever
// the number of services and processes. A notification brings a change with its
// content, so that no process has to read; one that is too long, or a gap in the
// revisions, makes the reader read; a new connection, an older database or a
// while make it read everything: a minute at a small site, fifteen at a thousand
// processes. A change that comes alone is told at once, by the statement that
// writes it. When many come together, as when power returns to a site,
// skerry_told spaces the notifications by 0.1 ms for each process, since to wake
// one costs the server half of that, and each brings all that has come since the
// one before. Without notifications (PollOnly, a standby, a pooler, no right to
// the secret) the reading remains. A wait without news ends after 5 s with a
// ping of 3 s, so a frozen or cut off database is noticed within 10 s; of more
// than a hundred processes each waits in proportion longer, at most 20 s.
//
// # The secret
//
// The row of skerry_secret holds the site's key ring and the name of the channel
// of notifications, 160 random bits. There is no other channel. Its first
// process makes the row by INSERT … ON CONFLICT DO NOTHING and reads it again,
// so that two first processes agree; a process that finds the row lost writes
// it again with the keys that it knows. Secrecy of the name is what makes
// content believable, within bounds: it may stand for a thousand changes and hold
// 128 instances, it must begin where the reader stands, and hints cause one read
// in 250 ms. A role that may not read the table does not listen.
//
// A new channel loses no change. A reader learns the name with its next poll, or
// at once when SetKeys tells it on the channel in use; it listens to the new name first, then
// reads what came before, and hears the earlier name for two more polls, in which every
// writer learns the new one. What comes on the earlier name is a hint only.
//
// # Roles and locks
//
// [Viewer], [Reader], [Service] and [Operator] are sets of rights; see there for
// what each is for. No lock is used that a role without rights on a table could
// hold: advisory locks are not, as every role of a database can take any of
// them. A writer of rules holds the cluster's row of skerry_head. Processes that
// make the tables together meet at the creation of skerry_schema: the second
// waits until the first commits, at most 15 s, and only a role that may create
// tables in the schema can make it wait. A statement that waited for a lock in
// vain says which session holds it.
//
// # Odd rows
//
// A row may hold what no skerry wrote. It is skipped, named once in the log, and
// listed by [Registry.Odd]. No expression of a statement fails on a row. A
// revision out of range makes readers read everything, and the next writer
// replaces it by the time; a lease whose heartbeat is impossible counts until
// its owner or the process that looks for dead ones has written it again; an
// owner whose own row was altered so writes it again. A row of the rule log
// that is no entry ends the log before it.
//
// # Versions of the tables
//
// skerry_schema says which version the tables have, and in needs the lowest
// version that a program must know to use them. A program uses later tables when
// needs allows it. So a later version adds tables, indexes, and columns with
// defaults, and leaves needs as it is; readers name the columns that they read and
// writers those that they write. It raises needs only when an earlier program
// would do harm, whether it reads or writes: there is one number, as a process
// that could read and not beat would be taken for dead. Tables before version 4
// share nothing with these and are left alone ([ErrOldTables]).
//
// # A server with few connections
//
// Where none of max_connections is left, or none that the role or the database
// may have, a process gives its
// connection back and comes for each heartbeat only, and when it has something
// to write: it sees changes when it comes. With room again it stays. At more
// than a hundred processes each looks every quarter of an hour only, since that
// costs the server time for each connection. A process that gets none goes on trying.
//
// A pooler that refuses start-up parameters
// gets none of ours but the encoding, and no named statements. What the URL asks
// for beyond that is dropped with a warning; but search_path holds for every
// connection, or there is none.
//
// # Several hosts
//
// Of several hosts in the URL the one that takes writes is preferred, unless
// target_session_attrs says otherwise; each is tried once, for 3 s. A session
// that finds its server read-only at a write tries all of them again, and with
// it what was to be written. One that has found only a server which takes no
// writes reads from it, and looks again after 2 s, then after half as long again
// each time, up to a heartbeat. An error that one host says (no such database,
// user or right) keeps no other from being tried: a standby may lag.
//
// The rule log and the secret are written with synchronous_commit = on: with a
// synchronous standby they are committed when that has them. Such a commit is
// never cancelled, since the server would then have it alone; it goes on, unseen,
// while its writer is told of a time-out. One that was cancelled by others is an
// error that says so. Notifications come behind the commit, as they hold a lock of the
// server until its end. A standby without the last steps that is promoted all
// the same leaves a log that ends before what the processes go by: they say so.
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
// reader's next read, and the next process that reads with the right to write
// marks the registrations as expired, which tells all others; one of those that
// may write does it every 5 s, in batches of a thousand. Only when none does, a
// reader looks at the leases of all that it lists. A lease that had run out when
// its instance was first seen is not listed at all; its owner, if it lives,
// lists itself again with its next heartbeat, which tells all. Of a service that
// was never read before those are listed that lived when the site was last
// written, while it has not settled and nothing better is known of their
// version. An owner whose lease another session holds writes the time into its
// instances instead. But no lease expires while the database has not settled: it
// settles when the cluster has been written for 4/3 of a heartbeat without a
// break, counted also from the server's start; a start or a pulse ahead of now
// says that the clock was set back. After an outage, a restart, a restored
// backup or a jump of the database's clock all leases look old at once, and
// their owners get the time to renew them.
//
// # Failure
//
// Run survives everything that happens to a database and tries again for ever,
// with jitter, at most 5 s apart; at sites of more than 300 processes up to
// 15 s, and the first one after up to 5 s, as all come at the same time.
// Meanwhile lists stay as they are and say Lost. A statement may take 3 s; after
// one that took longer the next may take 6, then 12 s, until a beat is answered
// quickly, since a busy server pays more for a new connection than for the
// answer. The server ends a statement a little before that, so that the
// connection survives; a beat is then sent again. A process whose rows are
// missing lists them again at its next heartbeat. A statement whose answer was
// lost is repeated, which is the same as once for registrations, and counts
// twice for statistics.
//
// # Write rate
//
// For each process one row update each 30 s; for the cluster one each 5 s; three
// for each registration that changes. Statistics: one row for each service,
// method and peer that was called in a period. Rows that are not needed any more
// are removed every ten minutes, statistics after 7 days.
//
// # Tests
//
// Against private servers (internal/pgtest), with the suite of
// registry/registrytest, behind a proxy that cuts, and under SIGSTOP, kill -9,
// restart, promotion, a demoted primary, commits that wait, restored tables, missing rights, odd rows and tables of
// other versions.
package postgres
