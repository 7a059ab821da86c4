// Package site runs the programs of an example as the processes of a make-believe
// site on this machine, for the demo and for the tests: a cluster of its own,
// confined to the loopback interface, with ports of their own.
package site
