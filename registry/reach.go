package registry

import (
	"net/netip"
	"strings"
)

// HostTag marks an instance whose address means something on one host only. Its
// value names the host, so that processes of that host may connect, and no other.
const HostTag = "skerry.host"

// HostOnly says why an address is no address for other hosts; "" when it may be
// one.
func HostOnly(host string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		name := strings.ToLower(strings.TrimSuffix(host, "."))
		if name == "localhost" || strings.HasSuffix(name, ".localhost") {
			return "a name of loopback"
		}
		return ""
	}
	switch ip := ip.Unmap(); {
	case ip.IsLoopback():
		return "a loopback address"
	case ip.IsUnspecified():
		return "the unspecified address"
	case ip.IsLinkLocalUnicast():
		return "a link-local address"
	case ip.IsMulticast():
		return "a multicast address"
	}
	return ""
}
