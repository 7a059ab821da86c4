// Package rpc calls Thrift services and serves them.
//
// A [Client] is a thrift.TClient for one service: generated code of the stock
// Thrift compiler runs on it unchanged. It asks a [Picker] for an [Endpoint],
// sends the call on a connection that many calls share, and gives up, tries
// another endpoint or falls back by the rules of its options. A [Server]
// serves the processors of generated code on one port, to skerry clients and
// to plain Thrift clients of any language.
//
// The package knows no registry: package discovery implements its Resolver
// and Picker.
package rpc
