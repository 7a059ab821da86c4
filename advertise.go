package skerry

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/registry"
)

// advertise chooses the announced address of a service that listens at l, with the reason. given is
// Service.Advertise.
func advertise(given string, l *net.TCPAddr, interfaces []string) (a advertised, err error) {
	a.port = l.Port
	switch {
	case strings.Contains(given, "/"):
		choice, _, err := broadcast.Advertise([]string{given})
		if err != nil {
			return a, err
		}
		a.host = choice.Addr.String()
		a.reason = describe(choice)
	case given != "":
		a.reason = "advertise says so"
		a.host, a.port, err = splitAdvertise(given, l.Port)
	case !l.IP.IsUnspecified():
		a.host = l.IP.String()
		a.reason = "it listens there only"
	default:
		choice, _, err := broadcast.Advertise(interfaces)
		if err != nil {
			return a, err
		}
		a.host = choice.Addr.String()
		a.reason = describe(choice)
		a.others = choice.Others
	}
	return a, err
}

// advertised is the announced address, with the reason.
type advertised struct {
	host   string
	port   int
	reason string
	others []netip.Addr // further addresses of the service, for hosts of other networks
}

// tagged is the instance with its further addresses. ok is false if its tags have no room for them.
func (a advertised) tagged(in registry.Instance) (_ registry.Instance, ok bool) {
	if len(a.others) == 0 {
		return in, true
	}
	return membership.Tagged(in, reach.AlsoTag, a.also())
}

// also is the further addresses as text.
func (a advertised) also() string {
	list := make([]string, len(a.others))
	for i, addr := range a.others {
		list[i] = addr.String()
	}
	return strings.Join(list, " ")
}

// Advertisement is the announced address of a service.
type Advertisement struct {
	Host       string
	Port       int          // 0: any free port, known once the service listens
	Reason     string       // reason for this address
	Only       string       // reason why only processes of this host get it; "" when others do
	Others     []netip.Addr // for hosts of further networks
	Considered []broadcast.Address
}

// Advertised returns the announcement that a process of this configuration would make for a
// service, by the rules of the process.
func Advertised(c Config, s config.Service) (a Advertisement, err error) {
	c = c.WithDefaults()
	l, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(c.ListenAddr()))
	if err != nil {
		return a, fmt.Errorf("listen: %w", err)
	}
	if l.IP == nil {
		l.IP = net.IPv6unspecified
	}
	at, err := advertise(s.Advertise, l, c.LAN.Interfaces)
	a.Host = at.host
	a.Port = at.port
	a.Reason = at.reason
	a.Others = at.others
	named := s.Advertise != "" || len(c.LAN.Interfaces) > 0 || !l.IP.IsUnspecified()
	a.Only = membership.HostOnly(a.Host, named)
	prefs := c.LAN.Interfaces
	if strings.Contains(s.Advertise, "/") {
		prefs = []string{s.Advertise}
	}
	if s.Advertise == "" && l.IP.IsUnspecified() || strings.Contains(s.Advertise, "/") {
		_, a.Considered, _ = broadcast.Advertise(prefs) // its error is that of advertise
	}
	return a, err
}

func splitAdvertise(given string, port int) (string, int, error) {
	if net.ParseIP(given) != nil || !strings.Contains(given, ":") {
		return given, port, nil
	}
	host, text, err := net.SplitHostPort(given)
	if err != nil {
		return "", 0, fmt.Errorf("advertise: %w", err)
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

func describe(c broadcast.Address) string {
	if c.Interface == "" {
		return c.Reason
	}
	return c.Interface + ": " + c.Reason
}
