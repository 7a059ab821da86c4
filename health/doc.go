// Package health counts calls: their number, their failures by kind, and their latency, for each service and
// version, method and peer, on the client's and on the server's side.
//
// # Model
//
// A [Recorder] holds one [Cell] for each [Key]. The call path looks a cell up once, keeps the pointer, and
// records into it with a few atomic additions: no lock, no allocation, no clock of its own. Every period (30 s)
// the recorder turns the counts into [Row] values and hands them to a [Sink]: a rotating log file
// (health/statlog) or the table skerry_call_stat (registry/postgres).
//
// # Failure
//
// A sink that fails loses nothing: the counts stay and go with the next period. Memory is bounded. Past MaxBytes
// of keys, further keys are counted together under the method "*" of their service and version. Services and
// versions always have counts of their own.
package health
