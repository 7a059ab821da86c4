package skerry

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/config"
)

// advertise decides at which address others are told to connect to a service
// that listens at l, and why. given is Service.Advertise.
func advertise(given string, l *net.TCPAddr, interfaces []string) (host string, port int, reason string, err error) {
	switch {
	case strings.Contains(given, "/"):
		choice, _, err := broadcast.Advertise([]string{given})
		if err != nil {
			return "", 0, "", err
		}
		return choice.Addr.String(), l.Port, describe(choice), nil
	case given != "":
		host, port, err := splitAdvertise(given, l.Port)
		return host, port, "advertise says so", err
	case !l.IP.IsUnspecified():
		return l.IP.String(), l.Port, "it listens there only", nil
	}
	choice, _, err := broadcast.Advertise(interfaces)
	if err != nil {
		return "", 0, "", err
	}
	return choice.Addr.String(), l.Port, describe(choice), nil
}

// Advertisement is the address at which others are told to connect to a service.
type Advertisement struct {
	Host       string
	Port       int    // 0: any free port, known when the service listens
	Reason     string // why this address
	Only       string // why it is told to processes of this host only; "" when it is told to others
	Considered []broadcast.Address
}

// Advertised is what a process of this configuration would tell of a service,
// decided as the process does it.
func Advertised(c Config, s config.Service) (a Advertisement, err error) {
	c = c.WithDefaults()
	l, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(c.ListenAddr()))
	if err != nil {
		return a, fmt.Errorf("listen: %w", err)
	}
	if l.IP == nil {
		l.IP = net.IPv6unspecified
	}
	a.Host, a.Port, a.Reason, err = advertise(s.Advertise, l, c.LAN.Interfaces)
	named := s.Advertise != "" || len(c.LAN.Interfaces) > 0 || !l.IP.IsUnspecified()
	a.Only = hostOnly(a.Host, named)
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
