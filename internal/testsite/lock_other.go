//go:build !unix

package testsite

// lock does nothing here: run tests that build programs one after the other.
func lock(string) (unlock func(), err error) { return func() {}, nil }
