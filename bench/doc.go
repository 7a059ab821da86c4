// Command bench measures skerry beside its rivals, in one interleaved run on
// one machine, and prints ratios: absolute figures move by a third between
// two minutes of one virtual machine, ratios taken within a round do not.
//
//	go run . call            the call path: skerry, Apache Thrift, gRPC, drpc, net/rpc
//	go run . call -long      the same with all payloads and concurrencies, TLS, slow calls: 13 minutes
//	go run . connections     10,000 connections to one server, a flooding one, and callers that never read
//	go run . hop             a call through skerry proxy, beside a plain TCP forwarder and the direct call
//	go run . release         one workload, released in seven ways: what breaks, and for how long
//	go run . fse             the table of FSE 2011, with skerry beside it
//	go run . deploy          four services to four fresh hosts, with Eureka and without, by hand and by agents
//	go run . token           what the token of a release costs each call
//
// For the call path, every peer runs a server process and a client process,
// started anew for each measurement. The client is a closed loop: c workers,
// each with one call in flight, checking every answer. The releases and the
// table are simulations: their figures are the same on every machine.
//
// It is a module of its own, so that programs that use skerry do not inherit the rivals.
package main
