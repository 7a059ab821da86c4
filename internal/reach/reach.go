package reach

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// HostTag marks an instance with an address that is valid on one host only. Its value names the
// host. Only processes of that host may connect.
const HostTag = "skerry.host"

// HostOnly returns the reason why an address is not valid for other hosts; "" when it may be valid.
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

// AlsoTag marks an instance that listens at all addresses of a host in several networks. Its value
// has the host's addresses in the networks other than that of the instance's Host, separated by
// spaces.
const AlsoTag = "skerry.also"

// Address returns the address, host:port, to which a host connects for an instance at addr with these
// tags. own are the networks of the connecting host. The result is addr, unless addr is in none of
// own and an address of the instance's AlsoTag is.
func Address(addr string, tags map[string]string, own []netip.Prefix) string {
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

// OwnNetworks returns the networks in which this host has an address.
func OwnNetworks() []netip.Prefix {
	var list []netip.Prefix
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() &&
			!p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Masked())
		}
	}
	return list
}
