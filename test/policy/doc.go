// Package policy holds the tests of a site's policy on real processes: each kind of item is changed by an operator's
// command while callers run, on the LAN and with a database, and what callers saw is measured.
//
// A site has two providers, in two halls, two callers and an operator. Hosts are network namespaces (internal/lab),
// the database is a private PostgreSQL (internal/pgtest), operators use the real skerry command. Providers and callers
// are this test binary, started again. Providers offer a service for each scene and answer with their name. Callers
// call what the test tells them on their standard input, all the time, and write one line for every call. A scene says
// which calls show the policy, and which show that it is not obeyed. The time until a change is seen counts from the
// operator's "y" to the begin of the first call after the last one that shows the state before.
//
// What a process forgets or lacks is played by itself: restarts, a database that is away, networks that part, two
// operators at once, commands that are killed, and programs of another version. Programs of another version are built
// from this tree with replaced texts (testsite.Overlay).
//
// Tests that fill the processors, and the one that measures each kind, run one after the other; then the others, which
// mostly wait, four at a time.
//
// No test is skipped: without root, iproute2, nftables, PostgreSQL or PgBouncer they fail and name what to install.
package policy
