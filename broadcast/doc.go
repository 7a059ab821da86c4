// Package broadcast is the registry that needs no server: the LAN itself.
package broadcast
