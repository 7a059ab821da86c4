// Command bench measures skerry beside its rivals, in one interleaved run on
// one machine, and prints ratios: absolute figures move by a third between
// two minutes of one virtual machine, ratios taken within a round do not.
//
//	go run . call            the call path: skerry, Apache Thrift, gRPC, drpc, net/rpc
//	go run . call -long      the same with more rounds, all payloads and concurrencies
//
// Every peer runs a server process and a client process, started anew for
// each measurement. The client is a closed loop: c workers, each with one call
// in flight, checking every answer. It lives in a module of its own so that
// nobody who uses skerry inherits the rivals.
package main
