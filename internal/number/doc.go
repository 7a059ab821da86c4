// Package number writes numbers as people do: without exponents, with no more
// digits than they say something, and never rounded to none or to all.
//
// All functions may be called from any goroutine. The package is floor 0 and
// imports nothing of the module.
package number
