// Package interop holds no code, only tests: the stock Thrift libraries of
// Python and Node.js call package rpc's server, and package rpc's client calls
// Python's servers, in every framing and encoding that each of them has. The
// stock library of Go is met by the tests of package rpc itself.
//
// The programs of the other languages are in testdata. Their stubs are
// generated, when the tests run, by the stock Thrift compiler from the file
// that the tests of package rpc use. What is needed is installed by
// scripts/setup; a missing tool fails the tests and says so.
package interop
