package broadcast

import (
	"fmt"
	"net"
	"net/netip"
	pathpkg "path"
	"slices"
	"strings"
)

// nic is a network interface of this host with the properties that choices depend on.
type nic struct {
	index    int
	name     string
	flags    net.Flags
	prefixes []netip.Prefix // addresses with their networks; link-local IPv6 without zone
}

// hostNICs reads the interfaces of the host.
func hostNICs() ([]nic, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("read network interfaces: %w", err)
	}
	var out []nic
	for _, i := range ifs {
		n := nic{index: i.Index, name: i.Name, flags: i.Flags}
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface has just vanished
		}
		for _, a := range addrs {
			if ipnet, ok := a.(*net.IPNet); ok {
				if p, ok := prefixOf(ipnet); ok {
					n.prefixes = append(n.prefixes, p)
				}
			}
		}
		out = append(out, n)
	}
	return out, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, ones), ok && ones <= addr.BitLen()
}

// insideNames begin the names of interfaces that lead to containers and virtual machines of this
// host, or nowhere. Their addresses are the same on many hosts, so another host would reach itself
// by them.
var insideNames = []string{"docker", "veth", "virbr", "vmnet", "vmenet", "vboxnet", "cni", "flannel", "cali", "kube",
	"nodelocaldns", "lxc", "lxd", "podman", "nerdctl", "dummy", "ifb", "awdl", "llw", "anpi",
	"vethernet", "virtualbox", "vmware", "hyper-v", "npcap"}

// wayNames begin the names of interfaces that look virtual, and may still be
// the only way to other hosts: bridges of routers, tunnels, modems.
var wayNames = []string{
	"br-",
	"vnet",
	"tun",
	"tap",
	"wg",
	"tailscale",
	"zt",
	"ppp",
	"ipsec",
	"utun",
	"sit",
	"gre",
	"ip6tnl",
	"vxlan",
	"geneve",
}

// inside returns why an interface leads to no other host, or "".
func (n nic) inside() string {
	lower := strings.ToLower(n.name)
	for _, v := range insideNames {
		if strings.HasPrefix(lower, v) {
			return fmt.Sprintf("interface of this host's containers or virtual machines by its name (%s…)", v)
		}
	}
	if id, ok := strings.CutPrefix(lower, "br-"); ok && len(id) == 12 && strings.Trim(id, "0123456789abcdef") == "" {
		return "bridge of this host's containers by its name (br- and twelve digits)"
	}
	return ""
}

// virtual returns why an interface is used only when it is named or there is no other, or "".
func (n nic) virtual() string {
	if why := n.inside(); why != "" {
		return why
	}
	lower := strings.ToLower(n.name)
	for _, v := range wayNames {
		if strings.HasPrefix(lower, v) {
			return fmt.Sprintf("virtual or VPN interface by its name (%s…)", v)
		}
	}
	if n.flags&net.FlagPointToPoint != 0 {
		return "point-to-point interface"
	}
	return ""
}

func (n nic) up() bool       { return n.flags&net.FlagUp != 0 }
func (n nic) loopback() bool { return n.flags&net.FlagLoopback != 0 }

// chosen is an interface that packets are sent and received on.
type chosen struct {
	index int
	name  string
	v4    netip.Addr // invalid: none
	v6    netip.Addr // link-local with zone; invalid: none
	net4  netip.Prefix
}

// holds reports whether an address is in the interface's network.
func (c chosen) holds(a netip.Addr) bool {
	return a.Is4() && c.net4.Contains(a) || a.Zone() != "" && a.Zone() == c.v6.Zone()
}

// choose picks the interfaces that wants names, by name, shell pattern or CIDR. Without wants it
// picks all that are up and lead to the LAN, and loopback. Interfaces that look virtual serve while
// no other one has an address.
func choose(nics []nic, wants []string) []chosen {
	var out []chosen
	virtual := len(wants) == 0 && !slices.ContainsFunc(nics, nic.leads)
	for _, n := range nics {
		if !n.up() || len(wants) == 0 && n.virtual() != "" && !(virtual && n.inside() == "") {
			continue
		}
		c := chosen{index: n.index, name: n.name}
		c.net4 = n.firstIPv4(wants)
		c.v4 = c.net4.Addr()
		if len(wants) > 0 && !c.v4.IsValid() && !n.matches(wants) {
			continue
		}
		for _, p := range n.prefixes {
			if a := p.Addr(); a.IsLinkLocalUnicast() && a.Is6() && !n.loopback() {
				c.v6 = a.WithZone(n.name)
			}
		}
		if c.v4.IsValid() || c.v6.IsValid() {
			out = append(out, c)
		}
	}
	return out
}

// leads reports whether the interface has an address on a LAN.
func (n nic) leads() bool {
	return n.up() && !n.loopback() && n.virtual() == "" && slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool {
		return !p.Addr().IsLinkLocalUnicast()
	})
}

// firstIPv4 returns the first IPv4 address that wants allows, with its network.
func (n nic) firstIPv4(wants []string) netip.Prefix {
	for _, p := range n.prefixes {
		if !p.Addr().Is4() {
			continue
		}
		if len(wants) == 0 || slices.ContainsFunc(wants, func(w string) bool { return n.fits(w, p.Addr()) }) {
			return p
		}
	}
	return netip.Prefix{}
}

func (n nic) matches(wants []string) bool {
	return slices.ContainsFunc(wants, func(w string) bool {
		return n.fits(w, netip.Addr{}) ||
			slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool { return n.fits(w, p.Addr()) })
	})
}

// fits reports whether a want (name, pattern, CIDR or address) matches this address of the
// interface.
func (n nic) fits(want string, addr netip.Addr) bool {
	if p, err := netip.ParsePrefix(want); err == nil {
		return p.Contains(addr)
	}
	if a, err := netip.ParseAddr(want); err == nil {
		return a.Unmap() == addr
	}
	ok, _ := pathpkg.Match(want, n.name) // checkWants has refused invalid patterns
	return ok
}

// checkWants returns an error for a want that can't match an interface.
func checkWants(field string, wants []string) error {
	for _, w := range wants {
		_, errPrefix := netip.ParsePrefix(w)
		switch {
		case w == "":
			return fmt.Errorf(
				"%s: an empty entry; give an interface name such as eth0, or a network such as 10.0.0.0/8",
				field,
			)
		case strings.Contains(w, "/") && errPrefix != nil:
			return fmt.Errorf("%s: %q is no network; write it as 10.0.0.0/8 or fd00::/8", field, w)
		}
		if _, err := pathpkg.Match(w, ""); err != nil {
			return fmt.Errorf("%s: %q is no interface name or pattern", field, w)
		}
	}
	return nil
}
