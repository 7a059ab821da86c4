package registry

import "testing"

func TestHostOnly(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LocalHost.", "kit.localhost",
		"0.0.0.0", "::", "169.254.3.4", "fe80::1", "fe80::1%eth0", "ff02::1"} {
		if HostOnly(host) == "" {
			t.Errorf("%s counts as an address for other hosts", host)
		}
	}
	for _, host := range []string{"10.0.0.5", "192.168.1.1", "fd00::1", "2001:db8::5", "vm", "localhost.site", "mylocalhost", "128.0.0.1"} {
		if why := HostOnly(host); why != "" {
			t.Errorf("%s counts as %s", host, why)
		}
	}
}
