package mask

import (
	"net/url"
	"regexp"
	"strings"
)

// Hidden replaces hidden text.
const Hidden = "xxxxx"

// Set replaces a secret that is hidden completely.
const Set = "(set)"

// URL is a PostgreSQL connection string without its secrets: user, hosts, database and harmless
// parameters of a URL. It shows nothing of any other text.
func URL(text string) string {
	p, ok := split(text)
	if !ok {
		return Set
	}
	if p.doubtful {
		return p.scheme + "://" + Hidden
	}
	var b strings.Builder
	b.WriteString(p.scheme + "://")
	if p.user != "" || p.hasPassword {
		b.WriteString(p.user)
		if p.hasPassword {
			b.WriteString(":" + Hidden)
		}
		b.WriteString("@")
	}
	b.WriteString(p.hosts + p.path)
	if p.query == "" {
		return b.String()
	}
	mark, rest := "?", p.query
	for more := true; more; mark = "&" {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		key, _, _ := strings.Cut(pair, "=")
		switch name, err := url.QueryUnescape(key); {
		case err != nil:
			return b.String() + mark + Hidden
		case secret(name):
			b.WriteString(mark + key + "=" + Hidden)
			if more { // it may be the end of an unescaped secret
				b.WriteString("&" + Hidden)
			}
			return b.String()
		case known[strings.ToLower(name)]:
			b.WriteString(mark + pair)
		default:
			b.WriteString(mark + key + "=" + Hidden)
		}
	}
	return b.String()
}

// Doubtful reports whether the end of a URL's password is ambiguous: in user, password and
// parameters the characters @ / : # ? % and space must be percent-encoded.
func Doubtful(text string) bool {
	p, ok := split(text)
	return ok && p.doubtful
}

// HasSecret reports whether a connection string has a password.
func HasSecret(text string) bool {
	p, ok := split(text)
	if !ok {
		return secret(text) || strings.Contains(text, "@")
	}
	if p.doubtful || p.hasPassword {
		return true
	}
	for pair := range strings.SplitSeq(p.query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(key); err != nil || secret(name) {
			return true
		}
	}
	return false
}

// secret reports whether a parameter's name suggests a secret.
func secret(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"pass", "pwd", "secret", "token", "credential"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// known are the parameters with public values.
var known = map[string]bool{
	"host": true, "hostaddr": true, "port": true, "user": true, "dbname": true, "database": true,
	"application_name": true, "connect_timeout": true, "sslmode": true, "sslrootcert": true,
	"sslcert": true, "sslkey": true, "sslsni": true, "sslnegotiation": true, "target_session_attrs": true,
	"search_path": true, "timezone": true, "statement_timeout": true, "lock_timeout": true,
	"client_encoding": true, "options": true, "service": true, "default_query_exec_mode": true,
	"channel_binding": true, "gssencmode": true, "min_protocol_version": true,
	"max_protocol_version": true,
}

type parts struct {
	scheme, user, hosts, path, query string
	hasPassword                      bool
	doubtful                         bool
}

var (
	oneHost = `(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]|%[0-9A-Fa-f]{2})*(:[0-9]*)?`
	hosts   = regexp.MustCompile(`^` + oneHost + `(,` + oneHost + `)*$`)
	strange = regexp.MustCompile(
		`[^!$&'()*+,;=:@/?\[\]A-Za-z0-9._~%-]|%(?:[^0-9A-Fa-f]|$)|%[0-9A-Fa-f](?:[^0-9A-Fa-f]|$)`,
	)
)

// split takes a URL apart; ok is false for any other text.
func split(text string) (p parts, ok bool) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || scheme != "postgres" && scheme != "postgresql" {
		return p, false
	}
	p.scheme = scheme
	authority, end := rest, strings.IndexAny(rest, "/?")
	if end >= 0 {
		authority = rest[:end]
		p.path, p.query, _ = strings.Cut(rest[end:], "?")
	}
	userinfo, host, at := strings.Cut(authority, "@")
	if !at {
		userinfo, host = "", authority
	}
	p.hosts = host
	p.user, _, p.hasPassword = strings.Cut(userinfo, ":")
	p.doubtful = strings.Count(rest, "@") > 1 || strings.Contains(rest, "@") && !at ||
		strange.MatchString(rest) || !hosts.MatchString(host) || strings.Count(userinfo, ":") > 1
	return p, true
}
