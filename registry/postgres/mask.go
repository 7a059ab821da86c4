package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// masked replaces a secret.
const masked = "xxxxx"

// maskedURL returns a connection string with passwords and other secrets replaced. It takes a URL
// or key=value pairs. Of a text that is neither it hides more rather than less.
func maskedURL(text string) string {
	shown, _ := mask(text)
	return shown
}

// mask also returns the secrets, encoded as in the text and decoded.
func mask(text string) (shown string, secrets []string) {
	if scheme, rest, isURL := strings.Cut(text, "://"); isURL && !strings.ContainsAny(scheme, " ='") {
		return maskURL(scheme+"://", rest)
	}
	if _, named := keywords(text); named {
		return maskPairs(text)
	}
	if i := strings.LastIndexByte(text, '@'); i >= 0 { // a URL without its beginning
		return masked + text[i:], []string{text[:i]}
	}
	return text, nil
}

// secretKey reports whether the value of a setting is a secret, or the place of one.
func secretKey(key string) bool {
	key = strings.ToLower(strings.TrimSpace(key))
	return strings.Contains(key, "pass") || strings.Contains(key, "secret") || strings.Contains(key, "token") ||
		strings.HasPrefix(key, "scram_")
}

func maskURL(scheme, rest string) (string, []string) {
	var secrets []string
	hide := func(value string) string {
		secrets = append(secrets, value)
		if decoded, err := url.PathUnescape(value); err == nil {
			secrets = append(secrets, decoded)
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			secrets = append(secrets, decoded)
		}
		return masked
	}
	// The last @ ends the part with the password, also when the password holds a slash or question
	// mark that is not encoded. The query may hold an @.
	query := ""
	at := strings.LastIndexByte(rest, '@')
	if q := strings.IndexByte(rest, '?'); q >= 0 && (at < q || !oddQuery(rest[q+1:])) {
		rest, query = rest[:q], rest[q:]
		at = strings.LastIndexByte(rest, '@')
	}
	shown := scheme
	if at >= 0 {
		user, password, has := strings.Cut(rest[:at], ":")
		if has {
			user += ":" + hide(password)
		}
		shown += user
		rest = rest[at:]
	}
	shown += rest
	if query != "" {
		pairs := strings.Split(query[1:], "&")
		for i, pair := range pairs {
			key, value, has := strings.Cut(pair, "=")
			name, err := url.QueryUnescape(key)
			if has && (err != nil || secretKey(name)) {
				pairs[i] = key + "=" + hide(value)
			}
		}
		shown += "?" + strings.Join(pairs, "&")
	}
	return shown, secrets
}

// oddQuery reports whether the text after a question mark looks like the rest of a password: a key
// in it contains an @.
func oddQuery(query string) bool {
	for _, pair := range strings.Split(query, "&") {
		if key, _, _ := strings.Cut(pair, "="); strings.Contains(key, "@") {
			return true
		}
	}
	return false
}

// keywords returns the names of key=value pairs. named is true when there is one or more and each
// can be the name of a setting.
func keywords(text string) (names []string, named bool) {
	for rest := text; ; {
		key, after, has := strings.Cut(rest, "=")
		if !has {
			return names, len(names) > 0
		}
		name := strings.TrimRight(key, spaces)
		name = name[strings.LastIndexAny(name, spaces)+1:]
		if !keyword.MatchString(name) {
			return nil, false
		}
		names = append(names, name)
		value := strings.TrimLeft(after, spaces)
		end, _ := pairEnd(value)
		rest = value[end:]
	}
}

var keyword = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

const spaces = " \t\n\r\v\f"

func maskPairs(text string) (string, []string) {
	var secrets []string
	shown, rest := "", text
	for {
		key, after, has := strings.Cut(rest, "=")
		if !has {
			return shown + rest, secrets
		}
		value := strings.TrimLeft(after, spaces)
		end, plain := pairEnd(value)
		name := strings.TrimRight(key, spaces)
		name = name[strings.LastIndexAny(name, spaces)+1:]
		if !secretKey(name) {
			shown += key + "=" + after[:len(after)-len(value)] + value[:end]
		} else {
			secrets = append(secrets, value[:end], plain)
			shown += key + "=" + masked
		}
		rest = value[end:]
	}
}

// pairEnd returns the end of a value, and the value without quotes.
func pairEnd(s string) (end int, plain string) {
	quoted := strings.HasPrefix(s, "'")
	if quoted {
		end = 1
	}
	var b strings.Builder
	for ; end < len(s); end++ {
		switch c := s[end]; {
		case c == '\\' && end+1 < len(s):
			end++
			b.WriteByte(s[end])
		case quoted && c == '\'':
			return end + 1, b.String()
		case !quoted && strings.IndexByte(spaces, c) >= 0:
			return end, b.String()
		default:
			b.WriteByte(c)
		}
	}
	return end, b.String()
}

// parseError reports that a connection string can't be read, without its secrets. It does not wrap
// the cause, which holds the string.
func parseError(text string, cause error) error {
	shown, secrets := mask(text)
	said := cause.Error()
	if i := strings.Index(said, "`: "); i >= 0 && strings.HasPrefix(said, "cannot parse `") {
		said = said[i+len("`: "):] // the parser masks the string by other rules
	}
	said = strings.ReplaceAll(said, text, shown)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, s := range secrets {
		if s != "" {
			said = strings.ReplaceAll(said, s, masked)
		}
	}
	// A parser may show a part of a password with a character that should have been encoded.
	for _, s := range secrets {
		for _, part := range strings.FieldsFunc(s,
			func(r rune) bool { return strings.ContainsRune("/?#@:&=%[]' \\", r) }) {
			if len(part) > 2 || len(part) == len(s) {
				said = strings.ReplaceAll(said, part, masked)
			}
		}
	}
	return fmt.Errorf("database URL %s: %s", shown, oneLine(said))
}

// suspicious returns an error for a URL that parses with another meaning than intended: a part of
// the password would appear as a host or name.
func suspicious(text string) error {
	rest, isURL := strings.CutPrefix(text, "postgres://")
	if !isURL {
		rest, isURL = strings.CutPrefix(text, "postgresql://")
	}
	if strings.HasPrefix(text, "jdbc:") {
		return errors.New("a URL of JDBC: write postgres://user:password@host:port/database")
	}
	if other, _, found := strings.Cut(text, "://"); !isURL && found && !strings.ContainsAny(other, "= ") {
		return errors.New("a URL of PostgreSQL begins with postgres://")
	}
	if _, named := keywords(text); !isURL && !named && text != "" {
		return errors.New("neither a URL that begins with postgres:// nor pairs such as host=db user=app")
	}
	if !isURL {
		return nil
	}
	host, path, hasPath := strings.Cut(rest, "/")
	path, query, _ := strings.Cut(path, "?")
	hostOnly, early, _ := strings.Cut(host, "?")
	switch {
	case strings.Count(hostOnly, "@") > 1, hasPath && strings.Contains(path, "@"), strings.Contains(rest, "#"),
		oddQuery(query), oddQuery(early):
		return errors.New(
			"one of the characters / ? # @ stands where none may; write them %2F %3F %23 %40 in a password")
	}
	return nil
}
