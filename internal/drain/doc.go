// Package drain holds the orders by which operators keep calls away from instances, and what one process has been
// ordered.
//
// # Model
//
// An [Order] is a text for one process. It names the cluster, the process with its start, and the number after that
// of the last order which the process has obeyed. The operator's command signs the text ([Purpose]). Package trust
// decides which operators may sign, as for the entries of the release log. A [Book] holds the drains in force in one
// process. It says of each instance what the lists show ([Book.Of]).
//
// # Guarantees
//
//   - An order is obeyed at most once, by one process, during one run of it: the next order has another number, and
//     the next run another name (TestOrdersAreObeyedOnce). No clock decides that.
//   - The numbers of an instance on the lists only grow (TestNumbersGrow), so that the newer of two lists is known.
//   - The drain of an instance that this process itself executes holds wherever the instance gets its address
//     ([Book.Settle]): a free port is another one in each run (TestDrainGoesWithItsInstance).
//   - A drain ends by an order, by its time, or with the process; only drains with a time are kept for the next run
//     (TestKeptDrains).
//
// # Concurrency
//
// The methods of a Book may be called from any goroutine.
//
// # Failure
//
// An order that is refused changes nothing. Its error wraps one of the errors of this package.
package drain
