// Package foreign keeps providers registered that do not use skerry's library: Thrift and HTTP servers in
// any language. `skerry announce` and package proxy use it.
//
// # Model
//
// [Keep] checks one provider again and again. It lists a provider that answers. It withdraws the provider after
// several failed checks in a row, and lists it again when it answers again. A provider that has never answered
// stays unlisted. Keep checks an unlisted provider twice a second. The first success after an outage lists
// the provider at once, because the calls detect a wrong decision sooner than any check.
//
// A busy provider may leave a check unanswered, because calls take all its threads. Keep then asks the processes
// of the site for their counts of calls. The provider stays listed while these counts grow. After a release
// has retired its version, the provider stays off the lists until its process has ended.
//
// # Failure
//
// When the context ends, Keep withdraws the provider before it returns.
//
// # Tests
//
// The loop runs in virtual time against doubles of registry.Registrar. The checks run against real Thrift
// servers of each protocol.
package foreign
