package proxy

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// maxInherited bounds the sockets that a service manager may hand over.
const maxInherited = 1024

// inherited holds listeners of a service manager that no program has taken yet, by their names.
type inherited map[string]net.Listener

// listenerName is the name of a listener in the form of the configuration.
func listenerName(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return l.Addr().String()
}

// has reports whether a listener is there for an address of the configuration.
func (i inherited) has(listen string) bool { return i[listen] != nil }

// take returns the listener of an address; nil when the proxy must make it.
func (i inherited) take(network, addr string) net.Listener {
	name := addr
	if network == "unix" {
		name = "unix:" + addr
	}
	l := i[name]
	delete(i, name)
	return l
}

// rest returns an error when a listener is left that no program has. Its clients would wait for ever.
func (i inherited) rest() error {
	if len(i) == 0 {
		return nil
	}
	return fmt.Errorf("the service manager hands over sockets at %s, where no program of proxy.programs listens: name "+
		"each as the listen of its program, or remove it from the socket unit",
		strings.Join(slices.Sorted(maps.Keys(i)), ", "))
}

func (i inherited) close() {
	for _, l := range i {
		_ = l.Close()
	}
}
