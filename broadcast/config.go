package broadcast

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/registry"
)

// defaultPort is the UDP port that all processes of all hosts share. It has no other registered
// use, and lies below every system's ephemeral ports.
const defaultPort = 7759

// defaultAnnounce is the default period of announcements.
const defaultAnnounce = 3 * time.Minute

// Config configures a Registry. Only Cluster and Owner are required.
type Config struct {
	Cluster string         // name that separates systems on one wire; see registry.CheckName
	Owner   registry.Owner // this process

	// Keys are the packet keys of the site's ring, 32 bytes each and derived for
	// this use and cluster: the first seals, all open. The function is called
	// every two seconds, so it must be quick. Nil, or no keys: only the loopback
	// interface is used, until there is one.
	Keys func() [][]byte

	// KeysChanged returns a channel that is closed when Keys changes its result, so that the new
	// keys take effect at once. Nil: within two seconds.
	KeysChanged func() <-chan struct{}

	// LateKeys says, until it is closed, that keys may come within seconds, for example from a
	// database. Without a key the process then neither sends nor receives for at most ten seconds,
	// because its packets would count as forged at processes with the site's key. Nil: no keys are
	// awaited. The warning about missing keys waits for the ten seconds in any case.
	// the ten seconds in any case.
	LateKeys <-chan struct{}

	// Open uses the LAN without keys: any host that knows the cluster's name can
	// announce providers. A warning says so at each start.
	Open bool

	Port  int // UDP port; 0 means 7759
	Ports int // UDP ports behind Port, for unicast; 0 means 100. A process takes one or two of them

	// Interfaces for packets, by name, shell pattern of names, CIDR or address. None means all that
	// are up and lead to the LAN, which leaves out virtual and VPN interfaces, and loopback.
	Interfaces []string

	// Seeds are hosts that also get packets by unicast, host or host:port, for networks that filter
	// broadcast. One that is up suffices: it names the others.
	Seeds []string

	Announce time.Duration // period of announcements; 0 means 3 minutes

	// Fetch reads the registrations of a peer that do not fit in a datagram from its internal
	// service at addr. Nil: they are requested in parts by datagrams.
	Fetch func(ctx context.Context, addr string, owner registry.Owner) ([]registry.Instance, error)

	// FetchAddr is the address of this process's internal service, host:port. Without a host, peers
	// use the source address of its packets. Nil or "": there is none.
	FetchAddr func() string

	// LoadPeers and SavePeers keep the addresses of peers, ip:port, for the next
	// start. Either may be nil. An error is logged and has no other consequence.
	LoadPeers func() ([]string, error)
	SavePeers func([]string) error

	Logger *slog.Logger // nil discards
}

// check sets defaults and names the field that is wrong.
func (c *Config) check() error {
	if err := registry.CheckName("cluster", c.Cluster); err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	if err := checkOwner(c.Owner); err != nil {
		return fmt.Errorf("broadcast: Owner: %w", err)
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	if c.Port < 1 || c.Port > 65535 {
		return fmt.Errorf("broadcast: Port %d is not in 1..65535", c.Port)
	}
	switch {
	case c.Ports == 0:
		c.Ports = defaultPorts
	case c.Ports < leastPorts || c.Ports > mostPorts:
		return fmt.Errorf("broadcast: Ports %d is not in %d..%d", c.Ports, leastPorts, mostPorts)
	case c.Ports != defaultPorts && c.Port+c.Ports > 65535:
		return fmt.Errorf("broadcast: the last of the %d Ports behind Port %d is over 65535", c.Ports, c.Port)
	}
	if c.Announce == 0 {
		c.Announce = defaultAnnounce
	}
	if c.Announce < time.Second {
		return fmt.Errorf("broadcast: Announce %v is shorter than 1s", c.Announce)
	}
	if err := checkWants("interfaces", c.Interfaces); err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	for _, s := range c.Seeds {
		if _, _, err := splitSeed(s, c.Port); err != nil {
			return fmt.Errorf("broadcast: %w", err)
		}
	}
	if c.Keys == nil {
		c.Keys = func() [][]byte { return nil }
	}
	if c.FetchAddr == nil {
		c.FetchAddr = func() string { return "" }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (c *Config) ports() portRange { return portRange{c.Port, c.Ports} }

// splitSeed reads host or host:port.
func splitSeed(seed string, port int) (string, int, error) {
	if a, err := netip.ParseAddr(seed); err == nil {
		return a.String(), port, nil
	}
	host, p, err := net.SplitHostPort(seed)
	if err != nil {
		host, p = seed, strconv.Itoa(port)
	}
	n, err := strconv.Atoi(p)
	if host == "" || err != nil || n < 1 || n > 65535 {
		return "", 0, fmt.Errorf("seeds: %q is neither host nor host:port", seed)
	}
	return host, n, nil
}

// resolveSeeds returns the addresses of seeds. Those without an address now are tried again later.
func resolveSeeds(ctx context.Context, seeds []string, port int) (out []netip.AddrPort, err error) {
	for _, s := range seeds {
		host, p, _ := splitSeed(s, port) // check has refused bad ones
		addrs, e := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if e != nil {
			err = fmt.Errorf("resolve seed %s: %w", s, e)
			continue
		}
		for _, a := range addrs {
			out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(p)))
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out), err
}
