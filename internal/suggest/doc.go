// Package suggest finds the name that a misspelt one probably means.
//
// Every "did you mean" of the module comes from here: keys of files, values of a fixed set, methods and fields of
// a .thrift file, services of a site. All functions may be called from any goroutine. The package is floor 0 and
// imports nothing of the module.
package suggest
