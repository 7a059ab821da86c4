package broadcast

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Address is an address that Advertise has examined, of this host or given by a preference.
type Address struct {
	Addr      netip.Addr // invalid for an interface without addresses
	Interface string     // "" when no interface of this host has the address
	Reason    string     // why it was chosen or not

	// Others are addresses of this host in further networks, one for each interface. Only the
	// chosen address has them.
	Others []netip.Addr
}

// Advertise chooses the address to which other processes connect. It tries prefs in order: an IP
// address is taken unchecked; an interface name (or pattern) or a CIDR takes the first matching
// address, IPv4 before IPv6. Without prefs it takes the first address of an interface that leads to
// the LAN. Interfaces that look virtual are used only when there is no other. A host with none of
// these gets a link-local or the loopback address, which serves processes of this host. looked has
// the reason for every address.
func Advertise(prefs []string) (chosen Address, looked []Address, err error) {
	if err := checkWants("advertise", prefs); err != nil {
		return Address{}, nil, err
	}
	nics, err := hostNICs()
	if err != nil {
		return Address{}, nil, err
	}
	return advertise(nics, prefs)
}

func advertise(nics []nic, prefs []string) (chosen Address, looked []Address, err error) {
	list := candidates(nics)
	var best *candidate
	if len(prefs) > 0 {
		best = preferred(list, prefs)
		if best == nil {
			if c, ok := foreign(prefs); ok {
				return c, considered(list, nil, prefs), nil
			}
		}
	} else {
		best = natural(list)
	}
	seen := considered(list, best, prefs)
	if best == nil {
		return Address{}, seen, noChoice(seen, prefs)
	}
	return Address{
		Addr:      best.addr,
		Interface: best.nic.name,
		Reason:    best.why,
		Others:    others(list, best, prefs),
	}, seen, nil
}

// maxOthers bounds the further addresses.
const maxOthers = 3

// others returns the addresses by which hosts of further networks reach this host. Each is of its
// own interface that leads to a LAN or that a preference names. Interfaces in one network lead to
// the same hosts, so one of them counts.
func others(list []candidate, best *candidate, prefs []string) (out []netip.Addr) {
	if best.rank != ranksLAN && len(prefs) == 0 {
		return nil
	}
	taken := map[int]bool{best.nic.index: true}
	networks := []netip.Prefix{best.network}
	for i := range list {
		c := &list[i]
		if len(out) == maxOthers || taken[c.nic.index] || !c.joins(prefs) ||
			slices.ContainsFunc(networks, c.network.Overlaps) {
			continue
		}
		taken[c.nic.index] = true
		networks = append(networks, c.network)
		out = append(out, c.addr)
	}
	return out
}

// joins reports whether hosts of the candidate's network may connect to it.
func (c *candidate) joins(prefs []string) bool {
	if len(prefs) == 0 {
		return c.rank == ranksLAN
	}
	named := slices.ContainsFunc(prefs, func(want string) bool { return c.nic.fits(want, c.addr) })
	return named && c.rank != ranksNever && c.rank != ranksLoopback && c.rank != ranksLinkLocal
}

// candidate is an address of this host. against is the reason against it, and rank its weight: 0
// none.
type candidate struct {
	nic     nic
	addr    netip.Addr
	network netip.Prefix // of the address
	against string
	rank    int
	why     string
}

const (
	ranksLAN = iota
	ranksVirtual
	ranksLinkLocal
	ranksLoopback
	ranksInside
	ranksNever
)

func candidates(nics []nic) []candidate {
	var out []candidate
	for _, n := range nics {
		if len(n.prefixes) == 0 {
			out = append(out, candidate{nic: n, rank: ranksNever, against: "no address"})
		}
		for _, p := range n.prefixes {
			c := candidate{nic: n, addr: p.Addr(), network: p.Masked()}
			c.rank, c.against = rankOf(n, p.Addr())
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int {
		if a.addr.Is4() != b.addr.Is4() {
			if a.addr.Is4() {
				return -1
			}
			return 1
		}
		return 0
	})
	return out
}

func rankOf(n nic, a netip.Addr) (int, string) {
	switch {
	case !n.up():
		return ranksNever, "interface is down"
	case n.loopback():
		return ranksLoopback, "loopback: only this host can connect to it"
	case a.IsLinkLocalUnicast() && a.Is6():
		return ranksNever, "link-local IPv6: means something only with an interface"
	case n.inside() != "":
		return ranksInside, n.inside()
	case n.virtual() != "" && !a.IsLinkLocalUnicast():
		return ranksVirtual, n.virtual()
	case a.IsLinkLocalUnicast():
		return ranksLinkLocal, "link-local: the host has got no address from its network"
	}
	return ranksLAN, ""
}

// preferred returns the first candidate that fits the earliest preference.
func preferred(list []candidate, prefs []string) *candidate {
	for _, want := range prefs {
		for i := range list {
			c := &list[i]
			if c.rank != ranksNever && c.nic.fits(want, c.addr) {
				c.why = fmt.Sprintf("fits %q of the configuration", want)
				return c
			}
		}
	}
	return nil
}

// natural returns the best candidate without preferences.
func natural(list []candidate) *candidate {
	reasons := [...]string{
		"first address of an interface of the LAN",
		"the interface looks virtual, and there is no other",
		"link-local address, as there is no other: only processes of this host are told",
		"loopback, as there is no network: only processes of this host can connect",
	}
	for rank, why := range reasons {
		for i := range list {
			if list[i].rank == rank {
				list[i].why = why
				return &list[i]
			}
		}
	}
	return nil
}

// foreign returns a preferred address that no interface has. It may be the outside of a translating
// router.
func foreign(prefs []string) (Address, bool) {
	for _, want := range prefs {
		if a, err := netip.ParseAddr(want); err == nil && !a.IsUnspecified() {
			return Address{Addr: a, Reason: "given; no interface of this host has it"}, true
		}
	}
	return Address{}, false
}

func considered(list []candidate, best *candidate, prefs []string) []Address {
	out := make([]Address, 0, len(list))
	for i := range list {
		c := &list[i]
		reason := c.against
		switch {
		case c == best:
			reason = "taken: " + c.why
		case reason == "" && len(prefs) > 0:
			reason = "fits none of the preferences, or only a later one"
		case reason == "":
			reason = "another address came first"
		}
		out = append(out, Address{Interface: c.nic.name, Addr: c.addr, Reason: reason})
	}
	return out
}

func noChoice(seen []Address, prefs []string) error {
	var b strings.Builder
	for _, s := range seen {
		fmt.Fprintf(&b, "; %s %s: %s", s.Interface, s.Addr, s.Reason)
	}
	if len(prefs) > 0 {
		return fmt.Errorf("advertise: no address of this host fits %q; looked at%s", prefs, b.String())
	}
	return fmt.Errorf("advertise: this host has no address that others could use; looked at%s", b.String())
}
