// Package postgres keeps the service registry, the rule log, the policy log and the call statistics in a PostgreSQL
// database that the site already runs. All SQL of the module is here.
//
// # Model
//
// A process has one row in skerry_lease, which its heartbeat writes, and one row in skerry_instance
// for each registration. A removed registration stays for at least ten minutes, marked as gone.
// skerry_revision numbers the changes of a cluster in the order of their commits. skerry_cluster holds
// the time of the last write. skerry_call_stat holds statistics, skerry_rule and skerry_head the rule
// log, skerry_policy the policy log, skerry_secret the site's keys. Clusters share no rows. [Schema] is
// the SQL of the tables.
//
// A process has one connection for everything. One statement each 30 s renews the lease, reads what
// has changed and compares the rule log, the policy and the secret, whatever
// the number of services. Notifications bring changes with their content. The reader reads the tables
// after a gap in the revisions, or when the content was too long. It reads everything on a new
// connection, after a restore, and every minute at a small site, every 15 minutes at a thousand processes.
//
// The statement that writes a single change notifies of it. skerry_told spaces notifications by 0.1 ms
// for each process, because waking a listener costs the server half of that. A later notification then
// brings all changes of the pause. Reading remains without notifications: with PollOnly, on a standby,
// behind a pooler, without the right to the secret.
//
// The channel of notifications has a secret name of 160 random bits in skerry_secret. A notification
// is believed within bounds: it begins at the reader's revision, stands for at most 1000 changes and
// holds at most 128 instances. Hints cause one read in 250 ms. After a change of the channel a session
// hears the earlier name for two polls, as hints, so no change is lost.
//
// # Guarantees
//
// A node's clock has no part: every time that is compared was written by the database's now(). A
// statement carries the latest database time at which it may take effect, so a frozen server changes
// nothing when it carries the statement out later.
//
// A lease older than its validity (90 s) drops out of every list at the next read. One of the writing
// processes marks such registrations as expired every 5 s, in batches of a thousand. An instance with a
// lease that had run out when it was first seen is not listed; a living owner lists it again.
//
// No lease expires while the database has not settled. It settles after 4/3 of a heartbeat of writing
// without a break, counted also from the server's start. After an outage, a restored backup or a jump
// of the clock, owners thus have the time to renew their leases.
//
// A beat shows the newest revision of the process's own rows. Another one than the process wrote, as in
// an older copy, makes it write them again. A lower revision of the cluster, or a row of skerry_secret that
// was written again with the same content, makes a process read everything.
//
// The rule log and the secret are committed with synchronous_commit = on, and such a commit is never
// cancelled from here. A row that no skerry wrote is skipped, logged once and listed by [Registry.Odd];
// no expression of a statement fails on it.
//
// A later version of the tables adds tables, indexes, and columns with defaults. It raises needs in
// skerry_schema only when an earlier program would do harm, by reading or by writing. A program uses
// later tables when needs allows it, and leaves tables before version 4 alone.
//
// # Concurrency
//
// The goroutine of stayConnected owns the session, its model and the connection. Other goroutines queue
// tasks for it. No lock is taken that a role without rights could hold: advisory locks are not used.
// Writers of rules and policies hold the cluster's row of skerry_head. Processes that make the tables together wait
// for the first one at skerry_schema, at most 15 s.
//
// # Failure
//
// Run tries again for ever, with jitter, at most 5 s apart, or 15 s at more than 300 processes.
// Meanwhile lists stay as they are and say Lost. A quiet wait of 5 s ends with a ping of 3 s, which
// notices a frozen database within 10 s; more than a hundred processes wait longer, at most 20 s.
// A statement may take 3 s, then 6 and 12 s while the server is slow. A statement with a lost answer is
// repeated: registrations are the same after it, statistics count twice.
//
// Without a free connection a process connects for each heartbeat only. Of several hosts the session
// prefers one that takes writes, and looks again while it has none. docs/operations.md describes
// connections, poolers, hosts and rights for operators.
//
// # Tests
//
// Private servers (internal/pgtest) run the suite of registry/registrytest: behind a proxy that cuts,
// under SIGSTOP, kill -9, restart, promotion, demotion, commits that wait, restored tables, missing
// rights, odd rows and tables of other versions.
package postgres
