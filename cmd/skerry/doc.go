// Command skerry shows and tends a cluster: what is registered and why it is
// in the state it is in, what calls cost, whether this host is set up well.
// It also calls services from the shell, and keeps providers registered that
// are not written in Go.
//
//	skerry ls [SERVICE]          services, instances, where each entry came from
//	skerry watch [SERVICE]       changes as they happen
//	skerry members               the processes of the site
//	skerry top [SERVICE]         calls per second, failures, latency, as they happen
//	skerry stats [SERVICE]       calls, failures by kind, latency
//	skerry call SERVICE METHOD   a call with JSON arguments and a .thrift file
//	skerry announce              keep a foreign provider registered while it answers
//	skerry gateway               take in users' HTTP requests
//	skerry release               new versions of services, together
//	skerry key                   the site's key: make it, hand it on, change it
//	skerry operator              the operators whose signatures are obeyed
//	skerry doctor                what is wrong here, and what to do about it
//	skerry schema                SQL for the database's administrator
//	skerry config check|show     the configuration: mistakes, effective values
//	skerry version
//	skerry completion SHELL      bash, zsh, fish or powershell
//
// All but announce, gateway, key, operator and release take part as pure consumers: they register
// nothing and write nothing but packets that ask.
//
// # Configuration
//
// The file of --config, else ./skerry.yaml, else the one that SKERRY_CONFIG
// names, else the defaults. ./skerry.yaml, which nobody has named, is read only
// where no other user can have written it. --cluster, --mode and --database
// (a URL, or @FILE; SKERRY_DATABASE_URL) take precedence. What the file says
// about this process's own services is left out.
//
// # Output and exit codes
//
// Tables and sentences for people; with --json one JSON document (watch and
// announce: one line for each event) on stdout, and an error as one JSON line
// on stderr. Times in JSON are RFC 3339 or carry their unit in the name.
// Control characters and line breaks of others are printed visibly, as \x1b
// and \n, and secrets as xxxxx: see internal/quote and internal/mask.
//
//	0  done
//	1  a problem was found: nothing listed or counted, a finding of doctor, a declared
//	   exception or a refusal by the service or of a step, a mistake in a
//	   configuration, output that could not be written
//	2  the command line, the .thrift file or the JSON arguments are wrong
//	3  the registry, the database or the service cannot be reached, or the log of
//	   releases is frozen
package main
