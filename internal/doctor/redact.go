package doctor

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/quote"
)

// outside finds what may name a site in a text: addresses, paths, and names with a domain.
var outside = regexp.MustCompile(`[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]+(?:%\w+)?` + // IPv6
	`|\b\d{1,3}(?:\.\d{1,3}){3}\b` + // IPv4
	`|(?:[A-Za-z]:\\|~?/)[\w.\-]+(?:[/\\][\w.@\-]+)*` + // a path
	`|"(?:[^"\\]|\\.)*"` + // quoted: a name
	`|SHA256:[\w+/=]+`) // the fingerprint of a key

// Redactor replaces the names of a site by others: the same name by the same one, so that findings can still be
// compared. The zero value is ready.
type Redactor struct {
	known map[string]string // by the site's name
	count map[string]int    // by kind
	order []string          // known names, the longest first
}

// Name has a name replaced wherever it stands as a word. kind is its kind, such as host.
func (r *Redactor) Name(kind, name string) {
	if len(name) < 2 || r.known[name] != "" { // of one letter there are too many
		return
	}
	r.as(kind, name)
	r.order = append(r.order, name)
	slices.SortStableFunc(r.order, func(a, b string) int { return len(b) - len(a) })
}

func (r *Redactor) as(kind, name string) string {
	if r.known == nil {
		r.known, r.count = map[string]string{}, map[string]int{}
	}
	if r.known[name] == "" {
		r.count[kind]++
		r.known[name] = fmt.Sprintf("%s-%d", kind, r.count[kind])
	}
	return r.known[name]
}

// Text replaces what names the site in a text.
func (r *Redactor) Text(s string) string {
	var b strings.Builder
	for at := 0; at < len(s); {
		if name := r.at(s, at); name != "" {
			b.WriteString(r.known[name])
			at += len(name)
			continue
		}
		b.WriteByte(s[at])
		at++
	}
	return outside.ReplaceAllStringFunc(b.String(), r.foreign)
}

// at returns the known name that begins at a place of a text.
func (r *Redactor) at(s string, at int) string {
	if at > 0 && wordy(s[at-1]) {
		return ""
	}
	for _, name := range r.order {
		if end := at + len(name); strings.HasPrefix(s[at:], name) && (end == len(s) || !wordy(s[end])) {
			return name
		}
	}
	return ""
}

func wordy(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (r *Redactor) foreign(s string) string {
	switch ip, err := netip.ParseAddr(s); {
	case err == nil && (ip.IsLoopback() || ip.IsUnspecified()):
		return s
	case err == nil:
		return r.as("address", s)
	case strings.HasPrefix(s, "SHA256:"):
		return r.as("key", s)
	case s[0] == '"':
		return `"` + r.as("name", s) + `"`
	case strings.Contains(s, "::") || strings.Count(s, ":") > 2:
		return r.as("address", s)
	case strings.ContainsAny(s, `/\`):
		return r.as("path", s)
	}
	return s
}

// Redacted is a report without the site's names, for a reader outside of it. Names of its hosts are replaced wherever
// they stand; r may know further ones.
func Redacted(hosts []Host, r *Redactor) []Host {
	for _, h := range hosts {
		r.Name("host", h.Host)
	}
	out := make([]Host, len(hosts))
	for i, h := range hosts {
		out[i] = Host{Host: r.Text(h.Host), Processes: r.texts(h.Processes), Findings: []HostFinding{}}
		for _, f := range h.Findings {
			f.Text, f.Do = quote.Safe(r.Text(string(f.Text))), quote.Safe(r.Text(string(f.Do)))
			f.Processes = r.texts(f.Processes)
			out[i].Findings = append(out[i].Findings, f)
		}
	}
	return out
}

func (r *Redactor) texts(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		host, rest, _ := strings.Cut(s, "/") // host/pid/epoch
		out[i] = r.Text(host) + "/" + rest
	}
	return out
}
