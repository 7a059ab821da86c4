// Package hop is the service of the consistency scenes. It carries out a plan, which names the
// services to call next, and then answers. It is generated from ../hop.thrift by "go generate
// ./test/consistency". Only this file is written by hand.
package hop
