package main

import (
	"net"

	"github.com/skerry/skerry/config"
)

// examinePort reports whether the services of this configuration could listen.
func examinePort(services []config.Service) []finding {
	f := &findings{area: "Port"}
	seen := map[string]bool{}
	for _, s := range services {
		if seen[s.Listen] {
			continue
		}
		seen[s.Listen] = true
		l, err := net.Listen("tcp", s.Listen)
		if err != nil {
			f.hint("nothing, when the service is running already; else end what holds the port or change "+
				"service.listen",
				"%s can't listen on %s: %v", s.Name, s.Listen, err)
			continue
		}
		l.Close()
		_, port, _ := net.SplitHostPort(s.Listen)
		if port == "0" {
			f.hint("where a firewall is on, give the service a fixed port with service.listen and let it through",
				"%s listens on any free TCP port", s.Name)
		} else {
			f.fine("TCP port %s is free for %s; let it through this host's firewall", port, s.Name)
		}
	}
	return f.list
}
