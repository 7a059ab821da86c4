// Package policy decides what the rules of a site say about one call: the rules that operators change while the site
// runs.
//
// # Model
//
// A [Policy] is what one text says. Package form reads the text, package policylog keeps the texts of a site.
//
//   - [Settings] are single values, such as a timeout. The value of a method wins over the one of its service, and
//     that over the one of "*", field by field. A policy wins over the file of a process, and that over the default.
//   - An [Item] belongs to a list: route, limits, allow, deny, fallback, faults, mirror, weights, lanes. The first
//     item that matches counts for route, fallback, faults, mirror and lanes. All limits that match hold. Deny wins
//     over allow. The items of "*" stand behind the service's own.
//   - A [Match] is a list of conditions that must all hold. There are no expressions, scripts or regular expressions.
//   - A percent is a hash of the trace's seed and the item's name, so all hops and attempts of a trace decide alike,
//     and a trace that has an item keeps it while the percent grows.
//   - [Compile] makes an immutable [Table]. A process holds it behind an atomic pointer.
//   - [Ages] say since when each item applies here, by the process's monotonic clock. Items that have expired are left
//     out of the table, and [Table.Next] says when to compile again.
//   - [Check] finds contradictions and items that can never apply. [CheckSite] compares a policy with the instances
//     of a site.
//   - [Table.Explain] says for one call which items apply, and why the others do not.
//
// # Guarantees
//
// A policy never chooses a version: the token of a release has done so before. It never touches skerry.internal. It
// never makes a method idempotent for all services at once, so a retry or a mirror can't execute a call twice that its
// service does not allow to be executed twice.
//
// Looking up a call's rules and matching items allocates no memory and takes no lock.
//
// # Concurrency
//
// Values are immutable after they are made, and safe for concurrent use. The package does no I/O, starts no goroutine
// and reads no clock.
//
// # Tests
//
// Searches compare the table with a slow model, and the findings of Check with all calls of a small world, over random
// policies. Tests switch a rule of the model off, to show that the search finds it.
package policy
