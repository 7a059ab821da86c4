// Package operatortest is the conformance suite of every store of the rule log:
// the one in memory (the reference), the ballot of the LAN, and the database's
// table. A store passes when entries are dense and in order, when of two that
// claim one number only one is taken, and when what was refused leaves nothing.
package operatortest
