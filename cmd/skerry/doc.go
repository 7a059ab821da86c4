// Command skerry shows and maintains a cluster: its registrations with the reason of each state, the cost of calls, and
// the setup of this host. It calls services from the shell, and connects providers and programs in other languages.
//
//	skerry ls [SERVICE]          services, instances, source of each entry
//	skerry lookup SERVICE        addresses at which a consumer calls a service
//	skerry watch [SERVICE]       changes as they happen
//	skerry members               processes of the site
//	skerry top [SERVICE]         calls per second, failures and latency as they happen
//	skerry stats [SERVICE]       calls, failures by kind, latency
//	skerry call SERVICE METHOD   call with JSON arguments and a .thrift file
//	skerry gen go FILE.thrift    Go code for the streams and asynchronous methods of a service
//	skerry announce              keep a foreign provider registered while it answers
//	skerry gateway               accept HTTP requests of users
//	skerry console               serve web pages that show the site and steer it
//	skerry proxy                 make programs of other languages members of the site
//	skerry release               release new versions of services together
//	skerry policy                rules of the whole site for calls
//	skerry artifact              make, check and keep what hosts run
//	skerry bundle                make, check and import one file that brings artifacts to a site
//	skerry key                   make, copy and change the site's key
//	skerry operator              operators that may sign releases
//	skerry doctor                problems of this host and site, with their remedies
//	skerry schema                SQL for the database's administrator
//	skerry config check|show     mistakes and effective values of the configuration
//	skerry version
//	skerry completion SHELL      bash, zsh, fish or powershell
//
// The commands announce, artifact, bundle, gateway, proxy, console, key, operator, policy and release register or
// write. All others are pure consumers: they register nothing, and send only queries and the operator's calls.
//
// # Configuration
//
// The configuration is the file of --config, else ./skerry.yaml, else the file that SKERRY_CONFIG names, else the
// defaults. ./skerry.yaml is read only if no other user can have written it, because no option names it. --cluster,
// --mode and --database (a URL, or @FILE; SKERRY_DATABASE_URL) take precedence. A command leaves out the
// services that the file configures for its process.
//
// # Output and exit codes
//
// The output is tables and sentences; those of policy and doctor's of the policy are in English or Chinese, by --lang,
// SKERRY_LANG or the locale. With --json it is one JSON document on stdout, and an error is one JSON line on
// stderr. Commands that follow events print one line for each event. Times in JSON are RFC 3339 or carry their unit in
// the name. Control characters and line breaks in texts from outside are printed as \x1b and \n, and secrets as xxxxx:
// see internal/quote and internal/mask.
//
//	0  done
//	1  a problem was found: nothing listed or counted, a finding of doctor, a declared exception, a refusal by the
//	   service or of a step, a mistake in a configuration, output that could not be written
//	2  the command line, the .thrift file or the JSON arguments are wrong
//	3  the registry, the database or the service cannot be reached, or the log of releases is frozen
package main
