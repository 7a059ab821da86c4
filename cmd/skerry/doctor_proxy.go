package main

import (
	"context"
	"maps"
	"slices"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/foreign"
	"github.com/skerry/skerry/proxy"
)

// examinePrograms asks the proxies of this host about the configured programs of other
// languages.
func examinePrograms(ctx context.Context, c config.Proxy) []finding {
	f := &findings{area: "Programs"}
	for _, name := range slices.Sorted(maps.Keys(c.Programs)) {
		g := c.Programs[name]
		s, err := proxy.Ask(ctx, g)
		if err != nil {
			f.problem("start skerry proxy with this configuration; run doctor as its user, or as root",
				"no proxy answers for the program %s at %s: %v", name, g.Listen, err)
			continue
		}
		f.fine("the proxy of %s (process %d) is %s at %s; %d calls run in the program", name, s.PID, s.State, g.Listen,
			s.Running)
		for _, p := range s.Provides {
			describeProvided(f, name, p)
		}
	}
	return f.list
}

func describeProvided(f *findings, program string, p proxy.Provides) {
	service := title(p.Service, p.Version)
	switch foreign.State(p.State) {
	case foreign.Listed, foreign.Busy:
		f.fine("%s of program %s at %s is %s, over %d connections", service, program, p.Addr, p.State, p.Connections)
	case foreign.Retired:
		f.hint("stop the program, or start its new version",
			"%s of program %s is off the lists: a release has retired its version", service, program)
	default:
		f.problem("start the program, or see that addr, protocol and check of proxy.programs are its own",
			"%s of program %s at %s is %s: callers are not led to it", service, program, p.Addr, p.State)
	}
	if p.Helper == "none" {
		f.hint("give the program a helper of lang/, or let no release depend on what it calls",
			"program %s has no helper: what it calls while it serves %s is no part of the request, and may meet "+
				"another version", program, service)
	}
}
