package registry

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what may be registered. They keep an instance below one LAN
// datagram and one database notification.
const (
	MaxName    = 63  // bytes of a service name, version or zone
	MaxTags    = 16  // tags of an instance
	MaxTagByte = 256 // bytes of all tag keys and values together
	MaxWeight  = 10_000
)

// CheckName reports what is wrong with a service name, version, zone or
// cluster name: 1 to 63 bytes of letters, digits, dot, dash and underscore,
// beginning with a letter or digit. what names the thing in the error.
func CheckName(what, s string) error {
	if s == "" {
		return fmt.Errorf("%w: %s is empty", ErrInvalid, what)
	}
	if len(s) > MaxName {
		return fmt.Errorf("%w: %s %.20q… has %d bytes, at most %d are allowed", ErrInvalid, what, s, len(s), MaxName)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if alnum || i > 0 && (c == '.' || c == '-' || c == '_') {
			continue
		}
		return fmt.Errorf("%w: %s %q: character %q at byte %d; use letters, digits, '.', '-', '_', beginning with a letter or digit",
			ErrInvalid, what, s, rune(c), i+1)
	}
	return nil
}

// Check reports the first thing that is wrong with an instance; the error
// wraps ErrInvalid and names the field. An instance that passes holds neither
// control characters nor text that is no UTF-8.
func Check(in Instance) error {
	if err := CheckName("service", in.Service); err != nil {
		return err
	}
	if in.Version != "" {
		if err := CheckName("version of "+in.Service, in.Version); err != nil {
			return err
		}
	}
	if in.Zone != "" {
		if err := CheckName("zone of "+in.Service, in.Zone); err != nil {
			return err
		}
	}
	if err := checkHost(in); err != nil {
		return err
	}
	if in.Port < 1 || in.Port > 65535 {
		return fmt.Errorf("%w: port %d of %s is not in 1..65535", ErrInvalid, in.Port, in.Service)
	}
	if in.Weight < -1 || in.Weight > MaxWeight {
		return fmt.Errorf("%w: weight %d of %s is not in -1..%d", ErrInvalid, in.Weight, in.Service, MaxWeight)
	}
	if in.Protocol != "" && !slices.Contains(Protocols(), in.Protocol) {
		return fmt.Errorf("%w: protocol %q of %s; known are %v", ErrInvalid, in.Protocol, in.Service, Protocols())
	}
	return checkTags(in)
}

func checkHost(in Instance) error {
	switch {
	case in.Host == "":
		return fmt.Errorf("%w: host of %s is empty", ErrInvalid, in.Service)
	case len(in.Host) > 255 || strings.ContainsFunc(in.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }):
		return fmt.Errorf("%w: host of %s: %.40q is no address", ErrInvalid, in.Service, in.Host)
	}
	if ip := net.ParseIP(in.Host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%w: host of %s is %s, which nobody can connect to; advertise one address of this host", ErrInvalid, in.Service, in.Host)
	}
	return nil
}

func checkTags(in Instance) error {
	if len(in.Tags) > MaxTags {
		return fmt.Errorf("%w: %s has %d tags, at most %d are allowed", ErrInvalid, in.Service, len(in.Tags), MaxTags)
	}
	size := 0
	for k, v := range in.Tags {
		if err := CheckName("tag of "+in.Service, k); err != nil {
			return err
		}
		if !printable(v) {
			return fmt.Errorf("%w: tag %s of %s: %q is no printable text; leave control characters out and write UTF-8",
				ErrInvalid, k, in.Service, v)
		}
		size += len(k) + len(v)
	}
	if size > MaxTagByte {
		return fmt.Errorf("%w: the tags of %s take %d bytes, at most %d are allowed", ErrInvalid, in.Service, size, MaxTagByte)
	}
	return nil
}

// printable reports whether s is UTF-8 without characters that steer a
// terminal. Tags come from other processes and are shown in tables and logs.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) && !strings.ContainsFunc(s, turns)
}

// turns reports whether a character changes the direction of what is written
// around it, or breaks a line.
func turns(r rune) bool {
	return r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
