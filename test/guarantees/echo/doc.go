// Package echo is the service that the scenes of guarantees call. It is
// generated from ../echo.thrift by the command in test/guarantees/doc.go; this file
// alone is written by hand.
package echo
