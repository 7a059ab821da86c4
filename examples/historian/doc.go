// Package historian is the example of streams: a service that keeps the values of sensors, sends them to callers as
// they come, and takes them from callers.
//
// The interface is historian.thrift. api holds the code that the stock Thrift compiler makes of it, and apistream what
// skerry gen makes of its annotations.
package historian

//go:generate ./generate.sh
