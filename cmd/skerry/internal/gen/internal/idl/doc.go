// Package idl holds .thrift files with every type and with unusual names, and the output of both compilers for them,
// the stock one and skerry gen. Its tests compile that, run it, and compare it and examples/historian with what the
// compilers write now. They need the stock compiler.
package idl

//go:generate ./generate.sh
