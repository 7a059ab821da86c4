package webpath

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Key identifies segments in a map. No segment holds a NUL.
func Key(segments []string) string { return strings.Join(segments, "\x00") }

// OfRoute are the segments of a route's path, which is spelt as in a URL.
func OfRoute(path string) ([]string, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, err
	}
	p, err := Read(u)
	if err != nil {
		return nil, err
	}
	if n := len(p.Segments); p.Segments[n-1] == "" {
		p.Segments = p.Segments[:n-1]
	}
	if Key(p.Segments) != Key(p.Plain) {
		return nil, errors.New("an empty segment, an encoded slash, a semicolon or a second encoding is in it")
	}
	return p.Segments, nil
}

// HostName is a host as routes compare it: without a port and a final dot, in lower case. "" is
// the host of a request that names none.
func HostName(host string) (string, error) {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return "", fmt.Errorf("port %q is no number from 1 to 65535", Clip(port))
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !addr.Is6() {
			return "", fmt.Errorf("%q is no IPv6 address in brackets", Clip(name))
		}
		return "[" + addr.String() + "]", nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if len(name) > 253 || strings.Contains(name, "..") || strings.HasPrefix(name, ".") || name == "" && host != "" {
		return "", fmt.Errorf("%q is no host name", Clip(host))
	}
	for i := range len(name) {
		if c := name[i]; c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "", fmt.Errorf(
				"%q is no host name; names hold letters, digits, hyphens and dots, others are spelt xn--…", Clip(host))
		}
	}
	return name, nil
}

// Clip shortens a text of a client.
func Clip(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
