// Package prom shows call statistics to Prometheus. It is a package of its
// own so that only programs that import it carry the Prometheus library.
//
//	http.Handle("/metrics", prom.Handler(recorder))
//
// The metrics are
//
//	skerry_calls_total{side,service,version,method,peer,outcome}  calls by how they ended
//	skerry_call_duration_seconds{side,service,version,method}     histogram, 100 µs to 30 s, peers together
//
// version is the callee's: what tells a new version from the one that it is
// to replace. Numbers count from the recorder's start, as Prometheus expects. They are
// read when Prometheus asks; nothing is done on the call path.
package prom
