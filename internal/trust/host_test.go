package trust

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/sitekey"
)

// TestMember: which peers without a site connection count as processes of the site.
func TestMember(t *testing.T) {
	withoutPlaces(t)
	keyed := open(t, Config{Key: sitekey.New().Text()})
	keyless := open(t, Config{})
	here, there := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("198.51.100.7:1")
	for _, c := range []struct {
		name      string
		trust     *Trust
		from      netip.AddrPort
		certified bool
		counts    bool
	}{
		{"open site", open(t, Config{Mode: Open}), there, false, true},
		{"certificates, with one", open(t, Config{Mode: Certificates}), there, true, true},
		{"certificates, without", open(t, Config{Mode: Certificates}), here, false, false},
		{"a key, of this host", keyed, here, false, false},
		{"a key, with a certificate", keyed, there, true, false},
		{"no key, of this host", keyless, here, false, true},
		{"no key, not by IP", keyless, netip.AddrPort{}, false, true},
		{"no key, of another host", keyless, there, false, false},
		{"no key, of another host with a certificate", keyless, there, true, false},
	} {
		if err := c.trust.Member(c.from, c.certified); (err == nil) != c.counts {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestOwnAddresses: every address of this host is its own, in each form, and no other is.
func TestOwnAddresses(t *testing.T) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var h ownHost
	now := time.Now()
	for _, a := range list {
		ip := netip.MustParsePrefix(a.String()).Addr()
		forms := []netip.Addr{ip}
		if ip.Is4() {
			forms = append(forms, netip.AddrFrom16(ip.As16()))
		}
		if ip.IsLinkLocalUnicast() && ip.Is6() {
			forms = append(forms, ip.WithZone("eth0"))
		}
		for _, form := range forms {
			if !h.has(netip.AddrPortFrom(form, 1), now) {
				t.Errorf("%v counts as an address of another host", form)
			}
		}
	}
	for _, other := range []string{"192.0.2.1:1", "[2001:db8::1]:1", "[fe80::1:2:3:4%eth0]:1"} {
		if h.has(netip.MustParseAddrPort(other), now) {
			t.Errorf("%s counts as an address of this host", other)
		}
	}
}

// Addresses are read again after two seconds, and not sooner.
func TestOwnAddressesAreReadAgain(t *testing.T) {
	h := ownHost{at: time.Unix(1000, 0), addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	from := netip.MustParseAddrPort("192.0.2.1:1")
	if !h.has(from, h.at.Add(hostAgain)) {
		t.Error("the addresses were read again too soon")
	}
	if h.has(from, h.at.Add(hostAgain+1)) {
		t.Error("an address that this host has no more counts as its own")
	}
}
