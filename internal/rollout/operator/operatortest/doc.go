// Package operatortest is the conformance suite of the stores of the rule log:
// the one in memory (the reference), the ballot of the LAN, and the database's
// table. A store passes when its entries are in order and leave out no number,
// when it takes only one of two entries with the same number, and when an entry
// that it has refused leaves nothing behind.
package operatortest
