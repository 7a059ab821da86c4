// Package testsite holds what tests of a site share and what needs nothing of the
// machine: keys in the open, and free ports.
//
// Package lab, for networks and disks, needs root; a package that imports it is
// left out of make check. This one is not.
package testsite
