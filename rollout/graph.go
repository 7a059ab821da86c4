package rollout

import (
	"maps"
	"slices"
)

// Anywhere stands for a callee of whom nobody knows which it is: see
// participant.Agent.MayCall.
const Anywhere = "*"

// Graph says which services may call which, as the processes say of
// themselves. It is complete when every process that is alive has been added:
// until then it may know too little. What it can't know, it takes for
// possible: a process that does not say whom it calls, and a callee that no
// process serves (a plain Thrift server, a queue), may reach everything.
type Graph struct {
	calls  map[string]map[string]bool // by the service that calls
	blind  bool                       // somebody does not say whom he calls
	doubts map[string]bool            // also served by others than those who were added
}

// Add adds what a process says.
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

// Path is a way by which work of a process can come to call a service, from
// what runs to the service itself, nil when there is none. Where only
// ignorance leads on, Anywhere stands on it.
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

// first are the services that the work may call itself: those of its process,
// and of every process that serves the same.
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

// known reports whether all who serve it have said whom they call.
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

// below adds the services to which work may lead.
func (g *Graph) below(set map[string]bool, services []string) {
	for _, s := range services {
		if !set[s] {
			set[s] = true
			g.below(set, slices.Collect(maps.Keys(g.calls[s])))
		}
	}
}
