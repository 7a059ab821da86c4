// Package pgtest runs private PostgreSQL servers for tests, and causes the failures of databases: stop, kill -9,
// freeze, restart, promotion, a clock that is an hour off, a pooler before the server.
//
// A test package shares one server: its TestMain calls [Main], its tests call [Shared] for the server and
// CreateDB for a database of their own. Tests that harm a server start one by [Start]. Binaries come from the
// newest /usr/lib/postgresql/*/bin or from PATH; without them the test fails and names the missing package. As
// root the server runs as the user postgres or nobody, because PostgreSQL refuses root. All files are in one
// temporary directory. The server ends with the test process, even after a crash.
//
// [OwnCluster] starts three servers under Patroni, each with a member of etcd, on hosts of internal/lab. Its
// primary can hand over, and hosts can be killed and return.
package pgtest
