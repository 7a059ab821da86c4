package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
)

// How patient this package is. Together waitTime and pingTime notice within
// ten seconds that a database is frozen or cut off (demand table, database row).
const (
	defaultHeartbeat = 30 * time.Second
	defaultExpiry    = 90 * time.Second

	connectTime = 3 * time.Second // for each host of the URL
	stmtTime    = 3 * time.Second
	waitTime    = 5 * time.Second // longest wait for a notification without a ping
	pingTime    = 3 * time.Second
	schemaTime  = 30 * time.Second // creating tables, behind others who do the same
)

// Config says where the database is and whose registrations are kept there.
type Config struct {
	URL     string         // PostgreSQL URL or key=value string, several hosts allowed; may hold a password, which is never logged
	Cluster string         // name of the system whose rows these are; see registry.CheckName
	Owner   registry.Owner // this process

	Heartbeat time.Duration // how often the lease is renewed; 0 means 30 s
	Expiry    time.Duration // age at which this process's lease has run out, at least twice Heartbeat; 0 means 90 s
	Poll      time.Duration // how often the lists are read, whatever is notified; 0 means 30 s
	KeepStats time.Duration // age at which call statistics are deleted; 0 means 7 days

	// Rules is called with entries of the rule log that are newer than Applied
	// says, soon after they were committed and with every Poll, and then also
	// with none when there are none; both nil: the rules are not followed.
	Rules   func([]rollout.Entry)
	Applied func() rollout.Generation

	// Secret is called with the site's keys when they were read from the
	// database and whenever they have changed: the first signs, all verify.
	// They are looked at with each Poll, and at once when an operator has
	// changed them. It must not block.
	Secret func(keys []string)
	// NewKey makes the text of the site's first key, for a database that has
	// none; nil: none is made.
	NewKey func() string

	Observe  bool         // only look: make neither tables nor a key; see ErrNoTables
	PollOnly bool         // don't LISTEN: changes are seen by polling only
	Logger   *slog.Logger // nil means slog.Default
}

// complete fills in defaults and refuses what can't work.
func (c *Config) complete() error {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
		name  string
	}{
		{&c.Heartbeat, defaultHeartbeat, "Heartbeat"},
		{&c.Expiry, defaultExpiry, "Expiry"},
		{&c.Poll, 30 * time.Second, "Poll"},
		{&c.KeepStats, 7 * 24 * time.Hour, "KeepStats"},
	} {
		if *d.field < 0 {
			return fmt.Errorf("%s is %v; a duration of at least 0 is needed", d.name, *d.field)
		}
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Expiry < 2*c.Heartbeat {
		return fmt.Errorf(
			"expiry %v is shorter than twice the heartbeat %v: one lost heartbeat would end every registration",
			c.Expiry, c.Heartbeat)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Owner == (registry.Owner{}) {
		return errors.New("the owner is not set; use registry.NewOwner once for the process")
	}
	return registry.CheckName("cluster", c.Cluster)
}

// Limits are generous to a server that is slow, and grow while it does not
// answer in time: giving up and connecting anew costs it more than the answer.
const limitMost = 4 * stmtTime

// tick is the interval of the statement that renews the lease and reads.
func (c *Config) tick() time.Duration { return min(c.Heartbeat, c.Poll) }

// pause is the silence after which a database counts as having been away, and
// the time it then has before leases expire: one heartbeat and some more.
func (c *Config) pause() time.Duration { return c.Heartbeat + c.Heartbeat/3 }

// connConfig parses the URL. Start-up parameters are those that it asks for;
// params adds ours.
func connConfig(c *Config, d *dialer) (*pgx.ConnConfig, error) {
	if err := suspicious(c.URL); err != nil {
		return nil, parseError(c.URL, err)
	}
	cfg, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, parseError(c.URL, err)
	}
	if cfg.RuntimeParams, err = urlParams(cfg.RuntimeParams); err != nil {
		return nil, parseError(c.URL, err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTime
	}
	cfg.DialFunc = d.dial
	return cfg, nil
}

// serverLimit is the server's own limit of a statement. It comes before ours,
// which costs the connection.
func serverLimit(d time.Duration) string {
	return strconv.FormatInt((d - 200*time.Millisecond).Milliseconds(), 10)
}

// severalHosts reports whether the URL names more than one server.
func severalHosts(cfg *pgx.ConnConfig) bool {
	for _, f := range cfg.Fallbacks {
		if f.Host != cfg.Host || f.Port != cfg.Port {
			return true
		}
	}
	return false
}

// address is the URL without what is secret: user@host:port/database.
func address(cfg *pgx.ConnConfig) string {
	hosts := []string{net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}
	for _, f := range cfg.Fallbacks {
		if h := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); h != hosts[len(hosts)-1] {
			hosts = append(hosts, h)
		}
	}
	return cfg.User + "@" + strings.Join(hosts, ",") + "/" + cfg.Database
}
