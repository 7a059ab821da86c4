// Package prom shows call statistics to Prometheus. It is a separate package, so that only programs that import
// it carry the Prometheus library.
//
//	http.Handle("/metrics", prom.Handler(recorder))
//
// The metrics are
//
//	skerry_calls_total{side,service,version,method,peer,outcome}  calls by how they ended
//	skerry_call_duration_seconds{side,service,version,method}     histogram, 100 µs to 30 s, peers together
//
// version is the callee's version; it separates a new version from its predecessor. Numbers count from the
// recorder's start, as Prometheus expects. They are read when Prometheus asks; the call path does no work for
// them.
package prom
