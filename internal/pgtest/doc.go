// Package pgtest runs private PostgreSQL servers for tests, and does to them
// what happens to databases: stop, kill -9, freeze, restart, promotion, a clock
// that is an hour off, a pooler before it.
//
// A test package shares one server: its TestMain calls [Main], its tests call
// [Shared] for the server and CreateDB for a database of their own. Tests that
// harm a server start one by [Start]. Binaries come from the newest
// /usr/lib/postgresql/*/bin or from PATH; without them the test fails and says
// what to install. As root the server runs as the user postgres or nobody,
// because PostgreSQL refuses root. Everything lives in one temporary directory,
// and the server ends with the test process, however that ends.
//
// [OwnCluster] starts three of them under Patroni, each with a member of etcd, on
// hosts of internal/lab: its primary hands over, and hosts are killed and return.
package pgtest
