// Package historian is the example of streams: a service that keeps the values of sensors, sends them to callers as
// they come, and takes them from callers. README.md says how to run it.
//
// The interface is historian.thrift. api holds the code that the stock Thrift compiler makes of it, and apistream what
// skerry gen makes of its annotations. [Keeper] provides the service, [Page] shows it in a browser.
package historian

//go:generate ./generate.sh
