// Package operatortest is the conformance suite of the stores of the rule log:
// the one in memory (the reference), the ballot of the LAN, and the database's
// table. A store passes when entries are dense and in order, when it takes one
// of two entries with the same number, and when a refused entry leaves no trace.
package operatortest
