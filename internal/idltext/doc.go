// Package idltext reads .thrift files as text, with the files that they include, to show them to other processes. It
// does not understand them: a service that serves its own text links no compiler.
package idltext
