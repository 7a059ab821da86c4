// Package mask removes the secrets from connection strings before they are printed or logged.
//
// The package hides too much rather than too little. A connection string that can be read in two ways, such as
// one with an unescaped @ in the password, shows its scheme only: a reader that divides it at the wrong place
// would show half of the password. The text behind a secret parameter is also hidden, and key=value strings are
// not shown at all.
//
// The package is pure, floor 0, and imports nothing of the module.
package mask
