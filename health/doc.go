// Package health counts calls: how many, how many failed and in which way,
// and how long they took, for each service and version, method and peer,
// on the client's and on the server's side.
//
// A [Recorder] holds one [Cell] for each [Key]. The call path looks a cell up
// once, keeps the pointer, and records into it with a few atomic additions:
// no lock, no allocation, no clock of its own. Every period (30 s) the
// recorder turns what was counted into [Row] values and hands them to a
// [Sink]: a rotating log file (health/statlog) or the table skerry_call_stat
// (registry/postgres). A sink that fails loses nothing: the counts stay and
// go with the next period. Memory is bounded: past MaxBytes of keys, further
// ones are counted together under the method "*" of their service and version,
// which are always counted apart.
package health
