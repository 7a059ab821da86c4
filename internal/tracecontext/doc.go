// Package tracecontext reads and writes the W3C headers traceparent and baggage.
//
// # Model
//
// A traceparent names a trace and a span of it. [NextSpan] makes the one of the next call. A
// baggage list has members; skerry's own begin with "skerry-".
//
// # Guarantees
//
// By the standard, an invalid traceparent counts as absent. Every call has one, so [Valid] reads
// eight digits at a time and [AppendSpan] does not allocate.
//
// # Concurrency
//
// All functions may be called from any goroutine.
//
// # Tests
//
// Tables, a comparison with the plain definition for every byte at every place, and a fuzz test.
package tracecontext
