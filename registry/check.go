package registry

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a registration. They keep an instance below one LAN datagram and one database
// notification.
const (
	MaxName     = 63  // bytes of a service name, version or zone
	maxTags     = 16  // tags of an instance
	maxTagBytes = 256 // bytes of all tag keys and values together
	MaxWeight   = 10_000

	MaxConcurrency = 100_000 // connections that a plain server may be said to serve
)

// CheckName reports an invalid service name, version, zone or cluster name. A valid name has 1 to
// 63 bytes of letters, digits, dot, dash and underscore, and begins with a letter or digit. what
// names the thing in the error.
func CheckName(what, s string) error {
	if s == "" {
		return fmt.Errorf("%w: %s is empty", ErrInvalid, what)
	}
	if len(s) > MaxName {
		return fmt.Errorf("%w: %s %.20q… has %d bytes, at most %d are allowed", ErrInvalid, what, s, len(s), MaxName)
	}
	place := 0 // of the character, counted from 1
	for i, c := range s {
		place++
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if alnum || i > 0 && (c == '.' || c == '-' || c == '_') {
			continue
		}
		return fmt.Errorf(
			"%w: %s %q: character %s in place %d; use the letters a-z and A-Z, digits, '.', '-', '_', beginning with "+
				"a letter or digit",
			ErrInvalid,
			what,
			s,
			character(s[i:]),
			place,
		)
	}
	return nil
}

// character is the first character of s, or its first byte if that is not UTF-8.
func character(s string) string {
	c, size := utf8.DecodeRuneInString(s)
	if c == utf8.RuneError && size == 1 {
		return fmt.Sprintf("%q", s[:1])
	}
	return fmt.Sprintf("%q", c)
}

// Check reports the first error of the instance. It wraps ErrInvalid and names the field. An
// instance that passes has valid UTF-8 without control characters.
func (in Instance) Check() error {
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
	if err := CheckHost("host of "+in.Service, in.Host); err != nil {
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
	return CheckTags("tags of "+in.Service, in.Tags)
}

// CheckHost reports an invalid host: other processes must be able to connect to it, by a name or an
// IP address. what names the thing in the error.
func CheckHost(what, host string) error {
	switch {
	case host == "":
		return fmt.Errorf("%w: %s is empty", ErrInvalid, what)
	case len(host) > 255 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }):
		return fmt.Errorf("%w: %s: %.40q is no address", ErrInvalid, what, host)
	}
	if ip := net.ParseIP(host); ip != nil && (ip.IsUnspecified() || ip.IsMulticast() || ip.Equal(net.IPv4bcast)) {
		return fmt.Errorf("%w: %s is %s, to which no connection can be made; advertise one address of this host",
			ErrInvalid, what, host)
	}
	return nil
}

// CheckTags reports the first error of an instance's tags. what names them in the error.
func CheckTags(what string, tags map[string]string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("%w: %s: there are %d, at most %d are allowed", ErrInvalid, what, len(tags), maxTags)
	}
	size := 0
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if err := CheckName(what+": the key", k); err != nil {
			return err
		}
		if v := tags[k]; !printable(v) {
			return fmt.Errorf("%w: %s: %q of %s is no printable text; leave control characters out and write UTF-8",
				ErrInvalid, what, v, k)
		}
		size += len(k) + len(tags[k])
	}
	plain := Instance{Tags: tags}
	if err := CheckPrefix(plain.Prefix()); err != nil {
		return fmt.Errorf("%w: %s: %s: %w", ErrInvalid, what, tagPrefix, err)
	}
	if text, set := tags[tagConcurrency]; set && strconv.Itoa(plain.Concurrency()) != text {
		return fmt.Errorf("%w: %s: %s: %q is no number from 0 to %d", ErrInvalid, what, tagConcurrency, text,
			MaxConcurrency)
	}
	if size > maxTagBytes {
		return fmt.Errorf("%w: %s: they take %d bytes, at most %d are allowed", ErrInvalid, what, size, maxTagBytes)
	}
	return nil
}

// CheckPrefix reports an invalid name of a service in Thrift's multiplexed protocol.
func CheckPrefix(prefix string) error {
	if len(prefix) > MaxName ||
		strings.ContainsFunc(prefix, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ':' }) ||
		!printable(prefix) {
		return fmt.Errorf("prefix %.70q: want a name of at most %d bytes without blanks and colons", prefix, MaxName)
	}
	return nil
}

// printable reports whether s is UTF-8 without characters that control a terminal. Tags come from
// other processes and are shown in tables and logs.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) && !strings.ContainsFunc(s, turns)
}

// turns reports whether a character changes the direction of the text around it, or breaks a line.
func turns(r rune) bool {
	return r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
