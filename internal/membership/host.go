package membership

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
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Host is this host as addresses like 127.0.0.1 reach: such an address means
// something on its own host only.
type Host struct {
	Name  string // see ThisHost; "" where the system does not tell
	Owner registry.Owner
}

// ThisHost names the host by its boot and the namespace of its network.
func ThisHost(owner registry.Owner) Host {
	h := Host{Owner: owner}
	boot, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	network, err2 := os.Readlink("/proc/self/ns/net")
	if err1 == nil && err2 == nil {
		h.Name = fmt.Sprintf("%.8s.%s", boot, strings.Trim(network, "net:[]"))
	}
	return h
}

// Mark is the instance with the name of this host beside an address that no
// other host can use, for a reason. Where there is no room for it the name of
// the owner's host has to do.
func (h Host) Mark(in registry.Instance, why string) registry.Instance {
	if why == "" || h.Name == "" {
		return in
	}
	with, _ := Tagged(in, reach.HostTag, h.Name)
	return with
}

// Tagged is the instance with one tag more. ok is false where there is no room.
func Tagged(in registry.Instance, key, value string) (_ registry.Instance, ok bool) {
	with := in
	with.Tags = map[string]string{key: value}
	for k, v := range in.Tags {
		with.Tags[k] = v
	}
	if with.Check() != nil {
		return in, false
	}
	return with, true
}

// HostOnly says why an address is told to processes of this host only, "" when it
// is told to others. A link-local address that the operator has named is told on
// its link: the operator knows that there is no other.
func HostOnly(host string, named bool) string {
	why := reach.HostOnly(host)
	if ip, err := netip.ParseAddr(host); err == nil && named && ip.Is4() && ip.IsLinkLocalUnicast() {
		return ""
	}
	return why
}

// Elsewhere says why an instance's address means something on another host only,
// "" when this process can use it.
func (h Host) Elsewhere(in registry.Instance) string {
	why := reach.HostOnly(in.Host)
	if why == "" {
		return ""
	}
	why = fmt.Sprintf("%s is %s, which means something on its own host only (%s)", in.Host, why, in.Owner.Host)
	switch mark := in.Tags[reach.HostTag]; {
	case mark != "" && h.Name != "":
		if mark == h.Name {
			return ""
		}
	case in.Owner.Host == h.Owner.Host:
		return ""
	case onLink(in.Host):
		return ""
	}
	return why
}

// Away says why a process can't be asked: its address is of another host only.
func (m *Membership) Away(k Member) error { return m.cfg.Host.away(k) }

func (h Host) away(k Member) error {
	host, _, err := net.SplitHostPort(k.Addr)
	if err != nil || k.Owner == (registry.Owner{}) {
		return nil // a question to an address, whichever process has it
	}
	in := registry.Instance{Host: host, Owner: k.Owner}
	if k.mark != "" {
		in.Tags = map[string]string{reach.HostTag: k.mark}
	}
	if why := h.Elsewhere(in); why != "" {
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
