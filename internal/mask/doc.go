// Package mask takes the secrets out of connection strings before they are
// printed or logged.
//
// The rule is to hide too much rather than too little. A connection string
// that can be read in two ways, such as one whose password holds an @ that is
// not percent-encoded, shows its scheme only: a reader that divides it at the
// wrong place would show half of the password. What follows a secret
// parameter is hidden, too, and key=value strings are not shown at all.
//
// The package is pure, floor 0, and imports nothing of the module.
package mask
