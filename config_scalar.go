package skerry

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// setScalar reads text into a string, number, bool or duration.
func setScalar(v reflect.Value, text, unit string) error {
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("want true or false, got %q", text)
		}
		v.SetBool(b)
	case v.Type() == reflect.TypeFor[time.Duration]():
		t, err := parseDuration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(t))
	case unit == "bytes":
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		if v.OverflowInt(n) {
			return fmt.Errorf("%s is more than a process of this system can hold", text)
		}
		v.SetInt(n)
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("want a whole number, got %q", text)
		}
		v.SetInt(n)
	default:
		panic("skerry: a configuration field of kind " + v.Kind().String())
	}
	return nil
}

// parseDuration reads "30s"; a bare number is refused, as nobody can tell
// its unit. "none" is the negative duration that a Config uses for it.
func parseDuration(text string) (time.Duration, error) {
	if text == "none" {
		return none, nil
	}
	t, err := time.ParseDuration(text)
	if err == nil && t > 0 {
		return t, nil
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 {
		return 0, fmt.Errorf("%s has no unit; write \"%ss\" for seconds or \"%sms\" for milliseconds", text, text, text)
	}
	return 0, fmt.Errorf("want a duration above zero such as \"30s\", \"3m\" or \"500ms\", got %q", text)
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// parseSize reads "16MiB". "none" is -1, which is out of range for most keys.
func parseSize(text string) (int64, error) {
	if text == "none" {
		return int64(none), nil
	}
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err == nil && n > 0 && n <= (1<<40)/u.bytes {
			return n * u.bytes, nil
		}
		break
	}
	return 0, fmt.Errorf("want a size such as 64KiB, 16MiB or a number of bytes, got %q", text)
}

// urlKey is the key whose value is a URL, in which a password must not be
// taken for something else.
const urlKey = "database.url"

// expand replaces ${NAME}, ${NAME:-default} and ${file:path}. The replaced
// text is not looked at again. Inside a URL it is percent-encoded.
func expand(text string, isURL bool, env func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	var out strings.Builder
	written := "" // of the text itself, so far
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

// variables are the places of a text that expand replaces.
var variables = regexp.MustCompile(`\$\{[^}]*\}`)

// inURL reports whether what stands between two parts of a URL belongs to its
// user, password or parameters. Hosts and a whole URL stay as they are.
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

// percentEncode writes every byte that may mean something in a URL as %XX.
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
	return "", fmt.Errorf("${%s}: the environment has no variable %s; set it, or write ${%s:-text} for a default", name, name, name)
}
