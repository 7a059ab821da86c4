package config

import (
	"fmt"
	"regexp"
	"strings"
)

// urlKey is the key with a URL. A password in it must not be read as another part.
const urlKey = "database.url"

// expand replaces ${NAME}, ${NAME:-default} and ${file:path}. It does not expand the replaced text
// again. Inside a URL it percent-encodes the replaced text.
func expand(text string, isURL bool, env func(string) (string, bool), readFile func(string) ([]byte, error)) (string,
	error) {
	var out strings.Builder
	written := "" // the unreplaced text so far
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(escaped + "${")
			written += escaped + "${"
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf(`"${" without "}"; write "$${" for a plain "${"`)
		}
		value, err := lookup(name, env, readFile)
		if err != nil {
			return "", err
		}
		written += before
		if isURL && inURL(written, after) {
			value = percentEncode(value)
		}
		out.WriteString(before + value)
		text = after
	}
}

// variables matches the parts of a text that expand replaces.
var variables = regexp.MustCompile(`\$\{[^}]*\}`)

// inURL reports whether the text between two parts of a URL belongs to its user, password or
// parameters. Hosts and a whole URL stay unchanged.
func inURL(before, after string) bool {
	_, authority, ok := strings.Cut(before, "://")
	if !ok {
		return false
	}
	if strings.Contains(authority, "?") {
		return true
	}
	after = variables.ReplaceAllString(after, "")
	return !strings.ContainsAny(authority, "@/") && strings.Contains(after, "@")
}

// percentEncode writes every byte that may have a meaning in a URL as %XX.
func percentEncode(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func lookup(name string, env func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		b, err := readFile(path)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", name, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	name, fallback, optional := strings.Cut(name, ":-")
	value, ok := env(name)
	switch {
	case ok && (value != "" || !optional):
		return value, nil
	case optional:
		return fallback, nil
	}
	return "", fmt.Errorf("${%[1]s}: the environment has no variable %[1]s; set it (a systemd unit has it from its "+
		"EnvironmentFile=, a command has not), or write ${file:PATH} for the text of a file, or ${%[1]s:-text} for a "+
		"default", name)
}
