// Package hop is the service of the consistency scenes: it does an errand,
// which names the services to call next, and answers when that is done. It is
// generated from ../hop.thrift by "go generate ./test/consistency"; this file alone
// is written by hand.
package hop
