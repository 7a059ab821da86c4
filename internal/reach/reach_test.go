package reach

import (
	"net/netip"
	"strings"
	"testing"
)

func TestHostOnly(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LocalHost.",
		"kit.localhost", "0.0.0.0", "::", "169.254.3.4", "fe80::1", "fe80::1%eth0", "ff02::1"} {
		if HostOnly(host) == "" {
			t.Errorf("%s counts as an address for other hosts", host)
		}
	}
	for _, host := range []string{
		"10.0.0.5", "192.168.1.1", "fd00::1", "2001:db8::5", "vm", "localhost.site", "mylocalhost", "128.0.0.1",
	} {
		if why := HostOnly(host); why != "" {
			t.Errorf("%s counts as %s", host, why)
		}
	}
}

func TestAddress(t *testing.T) {
	also := map[string]string{AlsoTag: "10.2.0.5 10.3.0.5 fd02::5"}
	for _, c := range []struct {
		addr string
		tags map[string]string
		own  string
		want string
	}{
		{"10.1.0.5:7000", also, "10.1.0.9/24", "10.1.0.5:7000"},
		{"10.1.0.5:7000", also, "10.2.0.9/24", "10.2.0.5:7000"},
		{"10.1.0.5:7000", also, "10.1.0.9/24,10.2.0.9/24", "10.1.0.5:7000"},
		{"10.1.0.5:7000", also, "10.3.0.9/24", "10.3.0.5:7000"},
		{"10.1.0.5:7000", also, "fd02::9/64", "[fd02::5]:7000"},
		{"10.1.0.5:7000", also, "10.9.0.9/24", "10.1.0.5:7000"},
		{"10.1.0.5:7000", also, "", "10.1.0.5:7000"},
		{"10.1.0.5:7000", nil, "10.2.0.9/24", "10.1.0.5:7000"},
		{"kit:7000", also, "10.2.0.9/24", "10.2.0.5:7000"},
		{"kit", also, "10.2.0.9/24", "kit"},
		{"10.1.0.5:7000", map[string]string{AlsoTag: "no address"}, "10.2.0.9/24", "10.1.0.5:7000"},
	} {
		var own []netip.Prefix
		for _, p := range strings.FieldsFunc(c.own, func(r rune) bool { return r == ',' }) {
			own = append(own, netip.MustParsePrefix(p))
		}
		if got := Address(c.addr, c.tags, own); got != c.want {
			t.Errorf("%s with %v from %s: %s, want %s", c.addr, c.tags, c.own, got, c.want)
		}
	}
}
