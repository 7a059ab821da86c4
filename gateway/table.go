package gateway

import (
	"net/http"
	"strings"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/webpath"
)

// table finds the route of a request: of the routes for its host the one with the longest path,
// else of the routes for any host.
type table struct {
	routes map[tableKey]*entrance
	deep   int // segments of the longest path
}

type tableKey struct{ host, path string }

// entrance is a route and its handler.
type entrance struct {
	config.Route
	depth int // segments of its path
	serve http.HandlerFunc
}

// refusesEncodedSlash reports whether a path with an encoded slash is refused. The configuration
// may refuse it. It is also refused right behind the slash that a stripped path begins with,
// because the decoded path would begin with the name of a host.
func (e *entrance) refusesEncodedSlash(p webpath.Path) bool {
	if e.Slash == "refuse" {
		return true
	}
	rest := webpath.DecodeAll(p.Below(e.depth)[1:])
	return e.Strip && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, `\`))
}

func (t *table) add(host string, segments []string, e *entrance) {
	if t.routes == nil {
		t.routes = map[tableKey]*entrance{}
	}
	e.depth = len(segments)
	t.deep = max(t.deep, e.depth)
	t.routes[tableKey{host, webpath.Key(segments)}] = e
}

// find returns nil where no route matches.
func (t *table) find(host string, segments []string) *entrance {
	for n := min(len(segments), t.deep); n >= 0; n-- {
		if e := t.routes[tableKey{host, webpath.Key(segments[:n])}]; e != nil {
			return e
		}
	}
	if host == "" {
		return nil
	}
	return t.find("", segments)
}
