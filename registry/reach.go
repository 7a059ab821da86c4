package registry

import (
	"net"
	"net/netip"
	"slices"
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

// AlsoTag marks an instance whose host is in several networks, and which listens
// at all addresses of it. Its value has the addresses of the host in the networks
// that the instance's Host is not in, separated by spaces.
const AlsoTag = "skerry.also"

// Reach is where a host connects to for an instance at addr, host:port, with these
// tags; own are the networks that the host has an address in. It is addr, unless
// that is in none of them, and an address of the instance's AlsoTag is.
func Reach(addr string, tags map[string]string, own []netip.Prefix) string {
	also := tags[AlsoTag]
	if also == "" {
		return addr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || within(host, own) {
		return addr
	}
	for _, other := range strings.Fields(also) {
		if within(other, own) {
			return net.JoinHostPort(other, port)
		}
	}
	return addr
}

// within reports whether an IP address is in one of the networks.
func within(host string, networks []netip.Prefix) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
}
