package rollout

import (
	"maps"
	"slices"
)

// Anywhere stands for an unknown callee: see participant.Agent.MayCall.
const Anywhere = "*"

// Graph holds which services may call which, by the processes' own reports. It
// is complete when every live process has been added; before that it may miss
// calls. Unknown calls count as possible. A process that does not report its
// calls may reach every service, as may a callee that no process serves (a
// plain Thrift server, a queue).
type Graph struct {
	calls  map[string]map[string]bool // by the calling service
	blind  bool                       // a process does not report its calls
	doubts map[string]bool            // services that processes without reports serve as well
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

// Path returns a path by which work of a process may call a service, from the
// work's name to the service, nil when there is none. Anywhere on the path
// marks a step that the graph does not know.
func (g *Graph) Path(r Report, h Inflight, service string) []string {
	if g.blind {
		return []string{h.What, Anywhere, service}
	}
	from, queue := map[string]string{}, g.first(r, h)
	for _, s := range queue {
		from[s] = ""
	}
	for ; len(queue) > 0; queue = queue[1:] {
		s := queue[0]
		switch {
		case s == service:
			return way(from, h.What, s)
		case !g.known(s):
			path := way(from, h.What, s)
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

// first returns the services that the work itself may call: those that it is
// restricted to, or else those of its process and of every process that serves
// the same services.
func (g *Graph) first(r Report, h Inflight) []string {
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

func way(from map[string]string, what, to string) []string {
	var path []string
	for s := to; s != ""; s = from[s] {
		path = append(path, s)
	}
	path = append(path, what)
	slices.Reverse(path)
	return path
}

// below adds the services to set, and all services that they may reach.
func (g *Graph) below(set map[string]bool, services []string) {
	for _, s := range services {
		if !set[s] {
			set[s] = true
			g.below(set, slices.Collect(maps.Keys(g.calls[s])))
		}
	}
}
