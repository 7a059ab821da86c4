package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
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
	Route
	depth int // segments of its path
	serve http.HandlerFunc
}

// refusesEncodedSlash reports whether a path with an encoded slash is refused. The configuration
// may refuse it. It is also refused right behind the slash that a stripped path begins with,
// because the decoded path would begin with the name of a host.
func (e *entrance) refusesEncodedSlash(p requestPath) bool {
	if e.RefuseEncodedSlash {
		return true
	}
	rest := decodeAll(p.below(e.depth)[1:])
	return e.Strip && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, `\`))
}

// pathKey is the key of a path in the table. No segment holds a NUL.
func pathKey(segments []string) string { return strings.Join(segments, "\x00") }

func (t *table) add(host string, segments []string, e *entrance) {
	if t.routes == nil {
		t.routes = map[tableKey]*entrance{}
	}
	e.depth = len(segments)
	t.deep = max(t.deep, e.depth)
	t.routes[tableKey{host, pathKey(segments)}] = e
}

// find returns nil where no route matches.
func (t *table) find(host string, segments []string) *entrance {
	for n := min(len(segments), t.deep); n >= 0; n-- {
		if e := t.routes[tableKey{host, pathKey(segments[:n])}]; e != nil {
			return e
		}
	}
	if host == "" {
		return nil
	}
	return t.find("", segments)
}

// segmentsOf are the segments of a route's path, which is spelt as in a URL.
func segmentsOf(path string) ([]string, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, err
	}
	p, err := readPath(u)
	if err != nil {
		return nil, err
	}
	if n := len(p.segments); p.segments[n-1] == "" {
		p.segments = p.segments[:n-1]
	}
	if pathKey(p.segments) != pathKey(p.plain) {
		return nil, errors.New("an empty segment, an encoded slash, a semicolon or a second encoding is in it")
	}
	return p.segments, nil
}

// hostName is a host as the table compares it: without a port and a final dot, in lower case. "" is
// the host of a request that names none.
func hostName(host string) (string, error) {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return "", fmt.Errorf("port %q is no number from 1 to 65535", clip(port))
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !addr.Is6() {
			return "", fmt.Errorf("%q is no IPv6 address in brackets", clip(name))
		}
		return "[" + addr.String() + "]", nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if len(name) > 253 || strings.Contains(name, "..") || strings.HasPrefix(name, ".") || name == "" && host != "" {
		return "", fmt.Errorf("%q is no host name", clip(host))
	}
	for i := range len(name) {
		if c := name[i]; c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "", fmt.Errorf(
				"%q is no host name; names hold letters, digits, hyphens and dots, others are spelt xn--…", clip(host))
		}
	}
	return name, nil
}

// clip shortens a text of a client.
func clip(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
