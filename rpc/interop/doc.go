// Package interop holds only tests: the stock Thrift libraries of Python and Node.js call package
// rpc's server, and package rpc's client calls Python's servers, in every framing and encoding that
// each of them has. The tests of package rpc itself cover the stock library of Go.
//
// The programs of the other languages are in testdata. The tests generate their stubs with the
// stock Thrift compiler from the file of package rpc's tests. scripts/setup installs the tools; a
// missing one fails the tests with its name.
package interop
