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

	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// Timeouts and intervals. waitTime and pingTime together detect within ten seconds a database that
// is frozen or cut off.
const (
	defaultHeartbeat = 30 * time.Second
	defaultExpiry    = 90 * time.Second

	connectTime = 3 * time.Second // for each host of the URL
	stmtTime    = 3 * time.Second
	waitTime    = 5 * time.Second // longest wait for a notification without a ping
	pingTime    = 3 * time.Second
	schemaTime  = 30 * time.Second // creating tables, behind other processes that create them
)

// Config says where the database is, and which cluster and process the registrations belong to.
type Config struct {
	URL     string         // PostgreSQL URL or key=value string, with one or more hosts; its password is never logged
	Cluster string         // name of the system that the rows belong to; see registry.CheckName
	Owner   registry.Owner // this process

	Heartbeat time.Duration // how often the lease is renewed; 0 means 30 s
	Expiry    time.Duration // age at which this process's lease has run out, at least twice Heartbeat; 0 means 90 s
	Poll      time.Duration // how often the lists are read, whatever is notified; 0 means 30 s
	KeepStats time.Duration // age at which call statistics are deleted; 0 means 7 days

	// Rules is called with entries of the rule log that are newer than Applied says, soon after
	// their commit and with every Poll. A Poll without new entries calls it with none. When both
	// are nil, the rules are not followed.
	Rules   func([]rollout.Entry)
	Applied func() rollout.Generation

	// Policies is called with the newest entries of the policy log, the winning one first, when that
	// one wins over NewestPolicy: soon after its commit, and with every Poll. When Policies is nil, the
	// log is not followed. Both must not block.
	Policies     func([]policylog.Stored)
	NewestPolicy func() (number uint64, hash string)
	// HeldPolicies returns the entries that the process believes, with their ages. What the log has
	// lost of them is written again, if the user has the right. With nil, nothing is.
	HeldPolicies func() []policylog.Stored

	// Secret is called with the site's keys after the first read and after each change: the first
	// key signs, all verify. The session compares them with each Poll, and at once when an operator
	// has changed them. Secret must not block.
	Secret func(keys []string)
	// NewKey makes the text of the site's first key for a database that has none. With nil, none is
	// made.
	NewKey func() string

	Observe  bool         // only read: make neither tables nor a key; see ErrNoTables
	PollOnly bool         // don't LISTEN: changes are seen by polling only
	Logger   *slog.Logger // nil means slog.Default
}

// complete sets the defaults and returns an error for a value that can't work.
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

// limitMost bounds the time of a statement. The limit grows while the server does not answer in
// time, because a new connection costs a slow server more than the answer.
const limitMost = 4 * stmtTime

// tick is the interval of the statement that renews the lease and reads.
func (c *Config) tick() time.Duration { return min(c.Heartbeat, c.Poll) }

// pause is the silence after which a database counts as having been away. It is also the time
// before leases expire after that: one heartbeat and a third.
func (c *Config) pause() time.Duration { return c.Heartbeat + c.Heartbeat/3 }

// connConfig parses the URL. It takes over the start-up parameters of the URL; params adds those of
// skerry.
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

// serverLimit is the server's own limit of a statement, in ms. It ends a statement before the limit
// of this process, which would cost the connection.
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

// address is the URL without its secrets: user@host:port/database.
func address(cfg *pgx.ConnConfig) string {
	hosts := []string{net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}
	for _, f := range cfg.Fallbacks {
		if h := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); h != hosts[len(hosts)-1] {
			hosts = append(hosts, h)
		}
	}
	return cfg.User + "@" + strings.Join(hosts, ",") + "/" + cfg.Database
}
