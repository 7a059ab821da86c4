// Package skerry lets the services of a site find and call each other by name, over Apache Thrift, without a
// further server to deploy. The registry is a few tables in a database that the site already runs, or the LAN
// itself.
//
//	node, err := skerry.OpenFile(ctx, "skerry.yaml")
//	auth := skerry.Stub(node, "auth", authapi.NewAuthClient)         // consumer
//	err = node.Serve(ctx, "auth", authapi.NewAuthProcessor(handler)) // provider
//
// # Model
//
// A [Node] is one process's part in a cluster. A [Config] configures it; every field has a default. [Open] starts
// the node, [Node.Close] ends it and joins everything that it has started. Between the two it unites up to two
// registries, the database and the LAN, into one list for each service that it calls, and keeps its own services
// listed in both.
//
// [Node.Client] is a thrift.TClient by service name: code of the stock Thrift compiler runs on it unchanged.
// [Node.Serve] and [Node.Handle] offer processors of that code on one port, to skerry clients and to plain Thrift
// clients of any language.
//
// # Guarantees
//
//   - Open waits for no database and no network. The node retries for ever to reach a registry that is away. The
//     services of this process are listed there as soon as the registry is back.
//   - In [ModeAuto] both registries run all the time. There is no moment of switching, and nodes of one site that
//     reach only one of them are found.
//   - No call waits for a registry, except the first call of a service, which waits for its list.
//   - A stop has an order: the node leaves the lists, notifies callers, serves on for a grace, finishes running
//     calls, then ends the consumer's half. A call fails only when it runs for longer than Stop.Drain.
//   - A host that gets its address late, or another one, is listed again by itself.
//   - All errors of a configuration are reported at once, with lines, and nothing starts.
//
// # Concurrency
//
// All methods of Node may be called from any goroutine. Generated clients may not: [Stub] makes one for each call
// over the shared connections.
//
// # Signals
//
// Serve returns when its context ends and the service has left, after the grace (3 s) and up to the drain (30 s).
// For a second Ctrl-C to end the program at once, the program releases the signal after the first:
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	context.AfterFunc(ctx, stop)
//
// # Tests
//
// Nodes of the tests meet on the loopback interface, in a private PostgreSQL, or in a hub in memory
// (registrytest.MemoryStore); addresses that change are tested in virtual time. Package guarantees measures whole
// sites.
package skerry
