// Package deploy measures what it costs a person and the machine to bring four
// services to four fresh hosts, and to change them later, in four ways:
//
//	A  plain Thrift, the addresses in a file on each host
//	B  plain Thrift and a Eureka server of Spring Cloud
//	C  skerry in each service, files copied and started on each host
//	D  the same services, brought and started by skerry's agents
//
// # What is real
//
// A host has namespaces of its own for network, files and name (internal/lab);
// of the machine it has the system's programs, and nothing else. The stick is
// a file system that is mounted. Every command of a task's list is executed by
// a shell of the host, every edit changes the file. A caller on the first host
// calls the entrance 25 times a second; a task is over when the answers name
// the instances that it was done for.
//
// # What is computed
//
// A person's time, from the same list of commands, by the keystroke-level
// model ([step.time]). It is an expert's time without mistakes, so compare
// ratios. A step of the list is what a person types, and nothing is typed that
// is not in the list; -steps prints it. Only the ways and the signing in are
// not executed.
//
// The Eureka server is Spring Cloud's starter with its defaults. The services
// speak its REST operations in Go, with the intervals of its own client: so A
// and B are the same programs, and no column pays for a Java runtime in each
// service.
package deploy
