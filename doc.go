// Package skerry lets the services of a site find and call each other by
// name, over Apache Thrift, with nothing to deploy beside them. The registry
// is a few tables in a database that the site already runs, or the LAN itself.
//
//	node, err := skerry.OpenFile(ctx, "skerry.yaml")
//	auth := skerry.Stub(node, "auth", authapi.NewAuthClient)         // consumer
//	err = node.Serve(ctx, "auth", authapi.NewAuthProcessor(handler)) // provider
//
// # Model
//
// A [Node] is one process's part in a cluster. It is told what to do by a
// [Config], every field of which has a default, and owns everything that it
// starts: [Open] begins it, [Node.Close] ends it and joins it. Between the two
// it unites up to two registries, the database and the LAN, into one list for
// each service that it calls, and keeps its own services listed in both.
//
// [Node.Client] is a thrift.TClient by service name: code of the stock Thrift
// compiler runs on it unchanged. [Node.Serve] and [Node.Handle] offer
// processors of that code on one port, to skerry clients and to plain Thrift
// clients of any language.
//
// # Guarantees
//
//   - Open waits for no database and no network. What is away at the start, or
//     later, is tried for ever, and what this process offers is listed there
//     as soon as it is back.
//   - In [ModeAuto] both registries run all the time. There is no moment of
//     switching, and nodes of one site that reach only one of them are found.
//   - No call waits for a registry, but the first of a service for its list.
//   - Stopping is in order: off the lists, callers told, served
//     on for a grace, running calls finished, then the consumer's half. A call
//     fails only when it runs for longer than Stop.Drain.
//   - A host that gets its address late, or another one, is listed again by
//     itself.
//   - Everything that is wrong with a configuration is said at once, with
//     lines, and nothing starts.
//
// # Concurrency
//
// All methods of Node may be called from any goroutine. Generated clients may
// not: [Stub] makes one for each call over the shared connections.
//
// # Signals
//
// Serve returns when its context ends and the service has left, after the
// grace (3 s) and up to the drain (30 s). A program that wants a second Ctrl-C
// to end it at once lets go of the signal when the first has come:
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	context.AfterFunc(ctx, stop)
//
// # Tests
//
// Nodes of the tests meet on the loopback interface, in a private PostgreSQL,
// or in a hub in memory (registrytest.MemoryStore); addresses that change are tested in
// virtual time. Package guarantees measures whole sites.
package skerry
