// Package policylogtest is the conformance suite of the stores of the policy log: the one in memory (the reference) and
// the database's table. A store passes when it keeps bytes and proofs, takes one of two changes that were made on the
// same entry, and takes in what was written elsewhere.
package policylogtest
