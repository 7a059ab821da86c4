package rollout

import (
	"maps"
	"slices"
)

// Anywhere stands for an unknown callee: see participant.Agent.MayCall.
const Anywhere = "*"

// Graph holds which services may call which, by the processes' own reports. It
// may miss calls until every live process was added. A process that does not
// report its calls counts as able to reach every service. So does a callee that
// no reporting process serves, such as a plain Thrift server or a queue.
type Graph struct {
	calls  map[string]map[string]bool // by the calling service
	blind  bool                       // a process does not report its calls
	doubts map[string]bool            // services that are also served by processes that send no reports
}

// Add adds a process's report.
func (g *Graph) Add(r Report) {
	g.blind = g.blind || r.Calls == nil
	if g.calls == nil {
		g.calls = map[string]map[string]bool{}
	}
	for _, s := range r.Serves {
		if g.calls[s] == nil {
			g.calls[s] = map[string]bool{}
		}
		for _, c := range r.Calls {
			g.calls[s][c] = true
		}
	}
}

// Path returns a path by which the work h of a process may call a service, or
// nil when there is none. The path begins with the work's name and ends with the
// service. The element Anywhere in it stands for a step that the graph does not
// know.
func (g *Graph) Path(r Report, h Inflight, service string) []string {
	if g.blind {
		return []string{h.What, Anywhere, service}
	}
	from, queue := map[string]string{}, g.callees(r, h)
	for _, s := range queue {
		from[s] = ""
	}
	for ; len(queue) > 0; queue = queue[1:] {
		s := queue[0]
		switch {
		case s == service:
			return pathTo(from, h.What, s)
		case !g.known(s):
			path := pathTo(from, h.What, s)
			if s != Anywhere {
				path = append(path, Anywhere)
			}
			return append(path, service)
		}
		for _, next := range slices.Sorted(maps.Keys(g.calls[s])) {
			if _, met := from[next]; !met {
				from[next] = s
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// callees returns the services that the work itself may call: those that it is
// restricted to. Without a restriction these are the callees of its process, and
// of every process that serves one of the same services.
func (g *Graph) callees(r Report, h Inflight) []string {
	set := map[string]bool{}
	for _, c := range r.Calls {
		set[c] = true
	}
	for _, s := range r.Serves {
		maps.Copy(set, g.calls[s])
	}
	if h.Calls != nil {
		set = map[string]bool{}
		for _, c := range h.Calls {
			set[c] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// known reports whether all processes that serve the service have reported its
// calls.
func (g *Graph) known(service string) bool {
	return g.calls[service] != nil && !g.doubts[service]
}

// pathTo returns the path to a service. from holds, for each service that was
// met, the one before it on the path.
func pathTo(from map[string]string, what, to string) []string {
	var path []string
	for s := to; s != ""; s = from[s] {
		path = append(path, s)
	}
	path = append(path, what)
	slices.Reverse(path)
	return path
}

// addReachable adds the services to set, and all services that they may reach.
func (g *Graph) addReachable(set map[string]bool, services []string) {
	for _, s := range services {
		if !set[s] {
			set[s] = true
			g.addReachable(set, slices.Collect(maps.Keys(g.calls[s])))
		}
	}
}
