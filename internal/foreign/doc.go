// Package foreign keeps providers registered that know nothing of skerry: a
// Thrift or HTTP server in any language is listed while it answers a check, is
// withdrawn when it has failed the check a number of times in a row, and is
// listed again when it answers again. `skerry announce` and package proxy use it.
//
// A provider that leaves the check without an answer while it answers calls is
// busy, not dead: its threads are all taken. It stays listed; the site's
// processes are asked what they have counted. One whose version a release has retired
// is off the lists until it has ended.
//
// A provider that never answered is not listed at all. What is not listed is
// looked for twice a second. The first success
// after an outage lists it at once: the calls themselves find out sooner than
// any probe whether that was right. When the context ends, everything is
// withdrawn before [Keep] returns.
//
// The loop is tested in virtual time against registry.Registrar doubles, the
// checks against real Thrift servers of each protocol.
package foreign
