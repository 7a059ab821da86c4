package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ours are the start-up parameters that skerry adds to those of the URL, so that a connection
// detects trouble by itself. A server or pooler that refuses one of them gets only the encoding.
func ours(c *Config) map[string]string {
	return map[string]string{
		encoding:                              "UTF8", // the server converts from its own encoding
		"application_name":                    "skerry " + c.Cluster + " " + c.Owner.String(),
		"statement_timeout":                   serverLimit(stmtTime),
		"lock_timeout":                        "2s",
		"idle_in_transaction_session_timeout": "10s",
		"tcp_keepalives_idle":                 "30",
		"tcp_keepalives_interval":             "10",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    "20s",
		"default_transaction_isolation":       "read committed", // the statements rely on it

		// Planning a beat costs more than running it.
		"plan_cache_mode": "force_generic_plan",
		// A crash may lose a second of heartbeats; their owners write them again.
		"synchronous_commit": "off",
	}
}

const (
	encoding = "client_encoding"
	path     = "search_path"
)

// idle are settings of a URL for PostgreSQL's own library that have no meaning here and can be left
// out without harm. secure are those that can't.
var (
	idle = []string{
		"gsslib",
		"gssdelegation",
		"keepalives",
		"keepalives_idle",
		"keepalives_interval",
		"keepalives_count",
		"sslcompression",
		"load_balance_hosts",
		"fallback_application_name",
	}
	secure = []string{
		"sslcrl",
		"sslcrldir",
		"ssl_min_protocol_version",
		"ssl_max_protocol_version",
		"requirepeer",
		"hostaddr",
		"replication",
	}
)

// urlParams returns the start-up parameters of the URL.
func urlParams(params map[string]string) (map[string]string, error) {
	given := maps.Clone(params)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		value := params[name]
		switch {
		case slices.Contains(idle, name), name == "gssencmode" && value != "require":
			delete(given, name)
		case slices.Contains(secure, name), name == "gssencmode":
			return nil, fmt.Errorf("%s is not supported: take it out", name)
		case strings.HasPrefix(name, "pool_"):
			return nil, fmt.Errorf(
				"%s is a setting of a pool of connections, and a process has one connection: take it out", name)
		case name == "options":
			if set, ok := optionParams(value); ok {
				delete(given, name)
				maps.Copy(given, set)
			}
		}
	}
	return given, nil
}

// optionParams returns the settings in command-line options, -c name=value or --name=value. ok is
// false when the options contain anything else.
func optionParams(options string) (set map[string]string, ok bool) {
	set = map[string]string{}
	fields := optionFields(options)
	for i := 0; i < len(fields); i++ {
		f := fields[i]
		switch {
		case f == "-c" && i+1 < len(fields):
			i++
			f = fields[i]
		case strings.HasPrefix(f, "-c"), strings.HasPrefix(f, "--"):
			f = f[2:]
		default:
			return nil, false
		}
		name, value, has := strings.Cut(f, "=")
		if !has || name == "" {
			return nil, false
		}
		set[strings.ReplaceAll(name, "-", "_")] = value
	}
	return set, true
}

// optionFields splits at spaces, except those after a backslash.
func optionFields(s string) (fields []string) {
	var b strings.Builder
	begun := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
			begun = true
		case strings.IndexByte(spaces, c) >= 0:
			if begun {
				fields = append(fields, b.String())
			}
			b.Reset()
			begun = false
		default:
			b.WriteByte(c)
			begun = true
		}
	}
	if begun {
		fields = append(fields, b.String())
	}
	return fields
}

// params returns the start-up parameters of the next connection.
func (r *Registry) params() map[string]string {
	out := map[string]string{}
	if r.plain {
		out[encoding] = "UTF8"
	} else {
		maps.Copy(out, ours(&r.cfg))
	}
	maps.Copy(out, r.given)
	maps.DeleteFunc(out, func(name, _ string) bool { return r.withheld[name] })
	return out
}

// ErrParameter is wrapped by errors of start-up parameters in the URL that the database refuses or
// ignores. Only another URL or an administrator of the database can correct them.
var ErrParameter = errors.New("a parameter of the database URL")

// refused handles a failed connection and reports whether to try again with fewer parameters. It
// leaves out those of skerry that a pooler or old server refuses, and those of the URL that a
// pooler does not know. It warns of the latter; verify checks search_path later. Other refusals are
// errors.
func (r *Registry) refused(err error) (again bool, why error) {
	code := sqlState(err)
	const unknown, invalid, protocol = "42704", "22023", "08P01" // protocol comes from poolers
	if code != unknown && code != invalid && code != protocol {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := named(err.Error(), r.params())
	_, theirs := r.given[name]
	switch {
	case theirs && (code != protocol || name == "options"):
		return false, fmt.Errorf("%w, %s, is refused: %w", ErrParameter, name, err)
	case theirs, name == encoding:
		r.withheld[name] = true
		if theirs && name != path && name != encoding {
			r.log.Warn("the pooler takes no such parameter; it has no effect", "parameter", name, "err", err)
		}
	case r.plain || name == "" && !strings.Contains(err.Error(), "parameter"):
		return false, err
	default:
		r.log.Info("the server takes no start-up parameters; going on without those that skerry adds", "err", err)
	}
	r.plain = true
	return true, nil
}

// named returns the parameter that a text is about, or "".
func named(text string, params map[string]string) string {
	names := slices.SortedFunc(maps.Keys(params), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	for _, name := range names {
		if strings.Contains(text, name) {
			return name
		}
	}
	return ""
}

// verify checks that a connection has the encoding and search_path that it needs. A pooler may
// ignore the parameters, or share sessions with other settings.
func (r *Registry) verify(ctx context.Context, conn *pgx.Conn) error {
	if now := conn.PgConn().ParameterStatus(encoding); now != "" && now != "UTF8" && now != "SQL_ASCII" {
		return fmt.Errorf("%w: %s is %s, and skerry needs UTF8: take it out, or let the pooler pass it on",
			ErrParameter, encoding, now)
	}
	want, given := r.given[path]
	if !given {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.limit())
	defer cancel()
	var have string
	if err := conn.QueryRow(ctx, "SELECT current_setting('search_path')").Scan(&have); err != nil {
		return fmt.Errorf("look at the search_path: %w", err)
	}
	if slices.Equal(schemas(have), schemas(want)) {
		return nil
	}
	user, database := pgx.Identifier{r.conn.User}.Sanitize(), pgx.Identifier{r.conn.Database}.Sanitize()
	return fmt.Errorf("%w, search_path=%s, has no effect: the session has %s, so that the tables would be others; "+
		"it is probably a pooler that does not pass it on: let an administrator of the database run "+
		"ALTER ROLE %s IN DATABASE %s SET search_path = %s", ErrParameter, brief(want), brief(have), user,
		database, quoted(want))
}

// schemas returns the names in a search_path.
func schemas(searchPath string) []string {
	names := strings.Split(searchPath, ",")
	for i, name := range names {
		name = strings.TrimSpace(name)
		if inner, isQuoted := strings.CutPrefix(name, `"`); isQuoted {
			name = strings.ReplaceAll(strings.TrimSuffix(inner, `"`), `""`, `"`)
		} else {
			name = strings.ToLower(name)
		}
		names[i] = name
	}
	return names
}

// quoted returns a search_path as SQL.
func quoted(searchPath string) string {
	names := schemas(searchPath)
	for i, name := range names {
		names[i] = pgx.Identifier{name}.Sanitize()
	}
	return strings.Join(names, ", ")
}
