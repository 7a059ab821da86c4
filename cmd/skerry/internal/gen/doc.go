// Package gen writes Go code for the streams and asynchronous methods of a .thrift file.
//
// # Model
//
// The stock Thrift compiler writes the types, the unary client and the processor of a .thrift file: the stock package.
// It ignores the annotations of skerry. [Generate] reads the same file and writes one Go file for another package, the
// stubs: a client that opens streams by its annotated methods, an interface that a provider implements, and a processor
// over the stock one. docs/streams.md describes the annotations and the code.
//
//	load      the file and those that it includes, as syntax trees
//	resolve   names of types to the Go types of the stock package
//	methods   annotations to kinds of methods, with every rule that they can break
//	emit      the Go file
//	place     where the stock package is, and where the stubs go
//
// # Names
//
// The stubs name identifiers of the stock package, so the rules of the stock compiler for names are repeated here:
// initialisms, underscores, "New", "Args", "Result", and typedefs that stand behind their use. They are those of 0.17,
// and are the same up to 0.24.
//
// # Failure
//
// An [Error] holds every mistake of the .thrift files, with file and line, sorted. Nothing is written then. The output
// depends on the files and the options alone: not on time, paths of the host, or the version of skerry.
//
// # Tests
//
// Table tests for each mistake; a fuzz test on arbitrary files; names that are compared with the output of the stock
// compiler; packages below internal/ that hold the output of both compilers, which the tests compile and run.
package gen
