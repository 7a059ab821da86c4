package broadcast

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// Limits of the content of a packet, beside its size.
const (
	hostMost        = 255 // bytes of the host of an address
	probeNames      = 16  // services that a probe asks for
	fetchMost       = hostMost + len("[]:65535")
	registrationMax = 256 // of one packet; the smallest takes more than four bytes
)

// checkBody refuses a body with text or numbers that no honest process sends, because its content
// reaches lists, logs and tables. FromWire checks registrations one by one.
func checkBody(s thrift.TStruct) error {
	switch s := s.(type) {
	case *wire.Announce:
		return checkListing(s.Listing)
	case *wire.Answer:
		if len(s.Nonces) > MaxPacket || len(s.Peers) > MaxPacket {
			return errMalformed
		}
		return checkListing(s.Listing)
	case *wire.Query:
		return checkNames(s.Services)
	case *wire.Probe:
		if len(s.Services) > probeNames {
			return errMalformed
		}
		return checkNames(s.Services)
	case *wire.Goodbye:
		for _, l := range s.Left {
			if err := checkLeft(l); err != nil {
				return err
			}
		}
	case *wire.Alarm:
		if s.Owner == nil {
			return errMalformed
		}
		return checkOwner(ownerFrom(s.Owner))
	}
	return nil
}

func ownerFrom(o *wire.Owner) registry.Owner {
	return registry.Owner{Host: o.Host, PID: int(o.Pid), Epoch: o.Epoch}
}

// checkListing checks the fields beside registrations.
func checkListing(l *wire.Listing) error {
	if l == nil { // Thrift leaves a missing struct nil
		return errMalformed
	}
	if len(l.Hash) > 0 && len(l.Hash) != listing.HashSize || len(l.Seal) > 0 && len(l.Seal) != listing.HashSize ||
		len(l.Registrations) > registrationMax {
		return errMalformed
	}
	if err := checkNames(l.Scope); err != nil {
		return err
	}
	if err := checkNames(l.Names); err != nil {
		return err
	}
	if fetch := l.GetFetch(); fetch != "" {
		return checkAddr(fetch)
	}
	return nil
}

func checkNames(names []string) error {
	for _, name := range names {
		if registry.CheckName("service", name) != nil {
			return errMalformed
		}
	}
	return nil
}

func checkLeft(l *wire.Left) error {
	if l == nil || registry.CheckName("service", l.Name) != nil || l.Port < 1 || l.Port > math.MaxUint16 {
		return errMalformed
	}
	if v := l.GetVersion(); v != "" && registry.CheckName("version", v) != nil {
		return errMalformed
	}
	if l.Host == "" || len(l.Host) > hostMost || !printable(l.Host) {
		return errMalformed
	}
	return nil
}

// checkAddr checks host:port; the host may be missing.
func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || len(addr) > fetchMost || !printable(host) {
		return errMalformed
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > math.MaxUint16 {
		return errMalformed
	}
	return nil
}

// checkOwner returns the fault in the name of a process.
func checkOwner(o registry.Owner) error {
	switch {
	case o.Host == "" || len(o.Host) > registry.MaxName:
		return fmt.Errorf("host %q must have 1 to %d bytes", o.Host, registry.MaxName)
	case !printable(o.Host):
		return fmt.Errorf("host %q has control characters or is no UTF-8", o.Host)
	case o.PID < 0 || o.PID > math.MaxInt32:
		return fmt.Errorf("process id %d is not in 0..%d", o.PID, math.MaxInt32)
	}
	return nil
}

// printable reports whether s is UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
