// Served is a program that agents run in tests: the service auth, which answers with its version.
package main
