package skerry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// here names the host, as far as addresses like 127.0.0.1 reach: its boot and the
// namespace of its network. It is "" where the system does not tell.
func here() string {
	boot, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	network, err2 := os.Readlink("/proc/self/ns/net")
	if err1 != nil || err2 != nil {
		return ""
	}
	return fmt.Sprintf("%.8s.%s", boot, strings.Trim(network, "net:[]"))
}

// marked is the instance with the name of this host beside an address that no
// other host can use. Where there is no room for it the name of the owner's host
// has to do.
func (n *Node) marked(in registry.Instance, why string) registry.Instance {
	if why == "" || n.here == "" {
		return in
	}
	with, _ := tagged(in, registry.HostTag, n.here)
	return with
}

// hostOnly says why an address is told to processes of this host only. A
// link-local address that the operator has named is told on its link: it is the
// operator who knows that there is no other.
func hostOnly(host string, named bool) string {
	why := registry.HostOnly(host)
	if ip, err := netip.ParseAddr(host); err == nil && named && ip.Is4() && ip.IsLinkLocalUnicast() {
		return ""
	}
	return why
}

// elsewhere says why an instance's address means something on another host only.
func (n *Node) elsewhere(in registry.Instance) string {
	why := registry.HostOnly(in.Host)
	if why == "" {
		return ""
	}
	why = fmt.Sprintf("%s is %s, which means something on its own host only (%s)", in.Host, why, in.Owner.Host)
	switch mark := in.Tags[registry.HostTag]; {
	case mark != "" && n.here != "":
		if mark == n.here {
			return ""
		}
	case in.Owner.Host == n.owner.Host:
		return ""
	case onLink(in.Host):
		return ""
	}
	return why
}

// away says why a process can't be asked: its address is of another host only.
func (n *Node) away(m member) error {
	host, _, err := net.SplitHostPort(m.Addr)
	if err != nil || m.Owner == (registry.Owner{}) {
		return nil // a question to an address, whichever process has it
	}
	in := registry.Instance{Host: host, Owner: m.Owner}
	if m.mark != "" {
		in.Tags = map[string]string{registry.HostTag: m.mark}
	}
	if why := n.elsewhere(in); why != "" {
		return errors.New(why)
	}
	return nil
}

// nowhere resolves no service, for a reason.
type nowhere struct{ why error }

func (w nowhere) Resolve(string) rpc.Picker { return w }

func (w nowhere) Pick(context.Context, *rpc.Call) (*rpc.Endpoint, error) {
	return nil, fmt.Errorf("%w: %w", rpc.ErrNoInstance, w.why)
}

func (w nowhere) Report(*rpc.Endpoint, health.Outcome, time.Duration) {}

// onLink reports whether host is a link-local IPv4 address, and this host has
// one, too.
func onLink(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Is4() || !ip.IsLinkLocalUnicast() {
		return false
	}
	list, _ := net.InterfaceAddrs() // without them it is not
	for _, a := range list {
		if own, ok := a.(*net.IPNet); ok && own.Contains(net.IP(ip.AsSlice())) {
			return true
		}
	}
	return false
}
