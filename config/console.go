package config

import "strings"

// Console configures `skerry console`; see package console. Other processes have none.
type Console struct {
	// Hosts are names, beside the host's IP addresses, localhost and those of the certificate in
	// tls.cert, by which browsers reach the console. Requests by other names are refused.
	Hosts []string `yaml:"hosts"`

	// Users is the file of users that sign in by a password or by a certificate of tls.ca; `skerry
	// console user` writes it. Without it links sign in only, and the console listens on this host
	// only.
	Users string `yaml:"users"`
}

func (c Console) check(p *problems) {
	for i, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/:*@ \t") {
			p.at("console.hosts", "entry %d: %q is no name of a host; write it without port, path and wildcard", i+1, h)
		}
	}
}
