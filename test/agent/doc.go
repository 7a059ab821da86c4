// Package agent plays what may happen to the agent of a host: with the built command, real programs, and calls that
// must not fail meanwhile.
package agent
