package gateway

import (
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/webpath"
)

// The headers that tell a service the origin of a request.
const (
	headerFor    = "X-Forwarded-For"
	headerHost   = "X-Forwarded-Host"
	headerProto  = "X-Forwarded-Proto"
	headerClient = "X-Real-Ip"
)

// dropped reports whether a header states the origin of a request, or its form before a proxy
// changed it. Services believe these headers, so a client's own headers never pass.
func dropped(name string) bool {
	switch name {
	case "Forwarded", "X-Forwarded", headerClient, "X-Client-Ip", "Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip",
		"X-Cluster-Client-Ip", "X-Original-Url", "X-Original-Host", "X-Rewrite-Url", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Original-Forwarded-")
}

// ofTrace reports whether only the gateway sets a header.
func ofTrace(name string) bool {
	return name == "B3" || strings.HasPrefix(name, "X-B3-") || strings.HasPrefix(name, "Skerry-")
}

// maxRanges is how many ranges of a response one request may ask for. A client that asks for more
// gets the whole response, as RFC 9110 advises.
const maxRanges = 32

// clean removes the headers that the services behind would believe.
func clean(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		// WSGI, CGI and others read X_Real_IP as X-Real-IP.
		dashed := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		return dropped(dashed) || dashed != name && ofTrace(dashed)
	})
	if strings.Count(strings.Join(h["Range"], ","), ",") >= maxRanges {
		h.Del("Range")
	}
}

// provenance is the origin of a request.
type provenance struct {
	client      string // address of the client: the peer's, or the address that trusted proxies state
	chain       string // addresses from the client to the peer
	host, proto string // requested by the client
}

// provenanceOf believes the headers of trusted peers, back to the first address that is not
// trusted.
func provenanceOf(r *http.Request, trusted []netip.Prefix) provenance {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = r.RemoteAddr
	}
	p := provenance{client: peer, chain: peer, host: r.Host, proto: protoOf(r.TLS)}
	if !trusts(trusted, peer) {
		return p
	}
	chain := []string{peer}
	list := strings.Split(strings.Join(r.Header[headerFor], ","), ",")
	for _, text := range slices.Backward(list) {
		addr, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil || len(chain) == maxProxies {
			break
		}
		chain = append(chain, addr.String())
	}
	for _, p.client = range chain {
		if !trusts(trusted, p.client) {
			break
		}
	}
	slices.Reverse(chain)
	p.chain = strings.Join(chain, ", ")
	if proto := strings.ToLower(r.Header.Get(headerProto)); proto == "http" || proto == "https" {
		p.proto = proto
	}
	if host := r.Header.Get(headerHost); host != "" {
		if _, err := webpath.HostName(host); err == nil {
			p.host = host
		}
	}
	return p
}

const maxProxies = 32 // in a chain of addresses

func trusts(trusted []netip.Prefix, text string) bool {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func protoOf(t *tls.ConnectionState) string {
	if t == nil {
		return "http"
	}
	return "https"
}

// set writes the headers for a service.
func (p provenance) set(h http.Header) {
	h.Set(headerFor, p.chain)
	h.Set(headerHost, p.host)
	h.Set(headerProto, p.proto)
	h.Set(headerClient, p.client)
}
