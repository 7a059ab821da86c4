package skerry

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/skerry/skerry/broadcast"
)

// listen is the address of the process's port: the one that a service names.
func (c Config) listen() (host, port string) {
	addr := ":0"
	for _, s := range c.Services {
		if s.Listen != ":0" && s.Listen != "" {
			addr = s.Listen
		}
	}
	host, port, _ = net.SplitHostPort(addr) // checked by Validate
	return host, port
}

// advertise decides at which address others are told to connect to a service
// that listens at l (demand D10), and why. given is Service.Advertise.
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

func describe(c broadcast.Choice) string {
	if c.Interface == "" {
		return c.Reason
	}
	return c.Interface + ": " + c.Reason
}
