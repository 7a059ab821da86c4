package config

import (
	"net"
	"slices"
	"time"
)

// Config is what a node is told, by a YAML file (see [Read]) or in Go.
// Every field has a default and the zero value means it, so that Config{} is
// a node of the cluster "default"; without a site key it is found on its own
// host alone. docs/configuration.md lists all keys; a test keeps it equal to the
// tags here.
type Config struct {
	// Cluster names the system. Nodes of different clusters share a wire or a
	// database and never see each other.
	Cluster string `yaml:"cluster" default:"default"`

	// Mode says where instances are listed and looked for.
	Mode Mode `yaml:"mode" default:"auto"`

	// Zone is where the process runs, such as a hall or a rack. Consumers can
	// prefer their own zone; services that name no zone are in this one.
	Zone string `yaml:"zone"`

	// Service is what the process offers, when it offers one service.
	Service Service `yaml:"service"`

	// Services is what the process offers, when it offers several; all are
	// served on one port. A name may stand here twice with two versions.
	Services []Service `yaml:"services"`

	// Consumers are the rules for calls to other services, by service name.
	// The name "*" stands for every service; what a service's own entry leaves
	// out is taken from it.
	Consumers map[string]Consumer `yaml:"consumers"`

	Site     Site     `yaml:"site"`     // membership and operators
	Database Database `yaml:"database"` // the registry in the site's database
	LAN      LAN      `yaml:"lan"`      // the registry on the LAN
	TLS      TLS      `yaml:"tls"`      // encryption of the calls
	Stop     Stop     `yaml:"stop"`     // how the process leaves
	Stats    Stats    `yaml:"stats"`    // where call statistics go
	Limits   Limits   `yaml:"limits"`   // what the server takes at most
	Memory   Memory   `yaml:"memory"`   // what the process may use to be quick
	Log      Log      `yaml:"log"`      // the framework's own log
	Calls    Calls    `yaml:"calls"`    // what holds for calls to every service
	Rollout  Rollout  `yaml:"rollout"`  // releases of many services at once
	Gateway  Gateway  `yaml:"gateway"`  // where users' requests come in, for skerry gateway
	Proxy    Proxy    `yaml:"proxy"`    // programs of other languages, for skerry proxy

	// StateDir is where the last known lists and the peers on the LAN are kept
	// for a start without any registry; "none" keeps nothing.
	// Default: $STATE_DIRECTORY, which systemd sets, else skerry in the user's
	// cache directory; without both nothing is kept. It must belong to the
	// process's user or root, and no other user may write to it.
	StateDir string `yaml:"state_dir"`
}

// Offers reports whether the configuration offers a service in a version.
func (c *Config) Offers(service, version string) bool {
	return slices.ContainsFunc(c.Services, func(s Service) bool { return s.Name == service && s.Version == version })
}

// Mode says which registries a node uses.
type Mode string

// The modes.
const (
	// ModeAuto uses the database while it can be reached and the LAN always, so
	// that nodes without the database are found as well. Without a
	// database.url it is ModeBroadcast.
	ModeAuto Mode = "auto"
	// ModeDatabase uses the database only. A node starts, serves and keeps
	// trying while the database is away.
	ModeDatabase Mode = "database"
	// ModeBroadcast uses the LAN only.
	ModeBroadcast Mode = "broadcast"
)

// Service is one service that the process offers.
type Service struct {
	// Name is what consumers call the service by.
	Name string `yaml:"name"`

	// Version of the service that this process runs; empty for none.
	Version string `yaml:"version"`

	// Listen is the TCP address of the process's port, host:port. Port 0 takes
	// a free one. All services of a process share one port: they name the same
	// address or none.
	Listen string `yaml:"listen" default:":0"`

	// Advertise is the address that others are told, when it is not the one
	// that the process would choose: a host or host:port to be used
	// as it stands, or a CIDR, to choose this host's address inside it.
	Advertise string `yaml:"advertise"`

	// Weight is the instance's share of the calls against its peers, 1 to
	// 10,000; -1 lists it without sending it any calls.
	Weight int `yaml:"weight" unit:"share" default:"100" zero:"-1 lists the instance without sending it calls"`

	// Zone of the instance. Default: the zone of the process.
	Zone string `yaml:"zone"`

	// Tags are free labels for the rules of consumers.
	Tags map[string]string `yaml:"tags"`

	// Entry names the methods by which requests come in from outside: a call
	// that brings no rollout token begins a trace there. "*" means all methods.
	Entry []string `yaml:"entry"`
}

// Database is the registry in a database that the site already runs.
type Database struct {
	// URL is a PostgreSQL connection string, of several hosts if need be. Keep
	// the password out of the file: "postgres://app:${DB_PASSWORD}@db/site".
	// What stands for a variable in user, password and parameters of a URL is
	// percent-encoded by Read; in a URL as a whole it is to be so already.
	URL string `yaml:"url" secret:"url"`

	// Heartbeat is the time between two signs of life.
	Heartbeat time.Duration `yaml:"heartbeat" default:"30s"`

	// Expiry is how old, by the database's clock, a last heartbeat may be
	// before the process's instances are dropped from the lists.
	Expiry time.Duration `yaml:"expiry" default:"90s"`

	// Poll is the time between two full reads of the lists. Notifications make
	// changes known sooner; what is read is the truth.
	Poll time.Duration `yaml:"poll" default:"30s"`
}

// LAN is the registry on the LAN.
type LAN struct {
	// Key is the old name of site.keys: the text of one site key, which begins
	// with sk1-. Packets that are not signed with it are ignored. Without one a
	// key derived from the cluster's name keeps systems apart, and intruders
	// not out. "${file:/path}" reads a file that holds nothing else.
	Key string `yaml:"key" secret:"true"`

	// Port is the UDP port that all processes of the cluster share.
	Port int `yaml:"port" unit:"UDP port" default:"7759"`

	// Interfaces to speak and hear on, by name, pattern ("en*"), address or CIDR.
	// The advertised address is chosen among them too, the earlier first, in
	// every mode. Default: all that lead to the LAN, which leaves out loopback,
	// container, virtual and VPN interfaces.
	Interfaces []string `yaml:"interfaces"`

	// Seeds are hosts (host or host:port) that are told and asked by unicast,
	// where broadcast is filtered.
	Seeds []string `yaml:"seeds"`

	// Announce is the time between two announcements, and how long an entry is
	// believed before its provider is asked whether it still lives.
	Announce time.Duration `yaml:"announce" default:"3m"`
}

// TLS encrypts the calls. Cert and Key make the port speak TLS; CA makes the
// callers check which server answers and, with Cert and Key, the port demand a
// certificate from its callers (mutual TLS).
type TLS struct {
	Cert string `yaml:"cert"` // file of this process's certificate chain, PEM
	Key  string `yaml:"key"`  // file of its private key, PEM
	CA   string `yaml:"ca"`   // file of the authorities that are trusted, PEM; default: the system's

	// Clients says whether callers must show a certificate of the CA: "require"
	// or "none".
	Clients string `yaml:"clients" default:"require"`

	// Providers says whether instances are called that speak no TLS:
	// "require" refuses them, "any" calls them in the clear. It counts once
	// calls have certificates to check.
	Providers string `yaml:"providers" default:"require"`

	// ServerName is the name that providers' certificates bear. Default: the
	// host of the advertised address.
	ServerName string `yaml:"server_name"`
}

// Stop is how a process leaves: off the lists, callers told,
// served on for Grace, then up to Drain for the calls that still run.
type Stop struct {
	Grace time.Duration `yaml:"grace" default:"3s"`  // "none" for no grace
	Drain time.Duration `yaml:"drain" default:"30s"` // then what still runs is cut off
}

// Stats is where call statistics go: into the database's table while it can
// be reached, else into a rotating log file.
type Stats struct {
	// time between two writes; "none" writes nothing
	Interval time.Duration `yaml:"interval" default:"30s"`
	// log file; default: one for each process in state_dir
	File string `yaml:"file"`
	// size at which the file is put aside, in whole MiB
	MaxSize int `yaml:"max_size" unit:"bytes" default:"16MiB"`
	Keep    int `yaml:"keep" unit:"files" default:"4"` // files that were put aside and are kept
}

// Limits is what the server takes at most, checked before memory is taken.
type Limits struct {
	Frame int `yaml:"frame" unit:"bytes" default:"16MiB"` // one message
	// that others have to this process; from three quarters on those that have said nothing make room, of the address that has most
	Conns int `yaml:"connections" unit:"connections" default:"20000"`
	// calls in handlers at a time; more are refused, unexecuted
	Calls     int `yaml:"calls" unit:"calls" default:"10000"`
	ConnCalls int `yaml:"conn_calls" unit:"calls" default:"2000"` // the same, of one connection
}

// Memory is what the process may use to be quick.
type Memory struct {
	// Floor is the size of the heap below which Go's garbage collector leaves it
	// alone; without one a process with little memory of its own is collected
	// up to a hundred times a second while calls come. About half of it is memory
	// that the process really takes. -1, "none" in a file, for the collector as
	// it comes. It has no effect in a program that sets the collector itself, by
	// GOGC, GOMEMLIMIT or package debug, and is at most a quarter of the control
	// group's memory limit.
	Floor int `yaml:"floor" unit:"bytes" default:"32MiB"`
}

// Calls is what holds for the calls to every service.
type Calls struct {
	// for a connection to stand; where TCP alone is slow, six times as long as that more
	ConnectTimeout time.Duration `yaml:"connect_timeout" default:"500ms"`
	Connections    int           `yaml:"connections" unit:"connections" default:"1"` // to each instance
	// from a provider's start to its full share of calls; "none" for the full share at once
	WarmUp time.Duration `yaml:"warm_up" default:"10s"`
	// how long an instance is left alone after three failed connects in a row
	Eject time.Duration `yaml:"eject" default:"10s"`
}

// Rollout is the process's part in releases.
type Rollout struct {
	// Orphans says what becomes of calls that belong to no trace, because
	// neither an entry, nor Node.Begin, nor a caller has given them a token:
	// "migrate" counts them and lets them pass, "strict" refuses them.
	Orphans string `yaml:"orphans" default:"migrate"`

	// MaxTraceAge is how long a trace may go on when a release has switched
	// versions beneath it; then its further calls are refused, and it holds no
	// old version back any more. Traces of the newest rules have no limit.
	MaxTraceAge time.Duration `yaml:"max_trace_age" default:"24h"` // "none" for no limit

	// OutsideHold is the same for calls of callers that have not shown to be a
	// process of the site: a stranger could hold an old version for as long as
	// it likes.
	OutsideHold time.Duration `yaml:"outside_hold" default:"60s"` // "none" for no limit of its own
}

// The values of Rollout.Orphans.
const (
	OrphansMigrate = "migrate"
	OrphansStrict  = "strict"
)

// Log is the framework's own log, written to stderr. WithLogger replaces it.
type Log struct {
	Level  string `yaml:"level" default:"info"`  // debug, info, warn or error
	Format string `yaml:"format" default:"text"` // text or json
}

// ListenAddr is the address of the process's port: the one that a service names.
func (c Config) ListenAddr() (host, port string) {
	addr := ":0"
	for _, s := range c.Services {
		if s.Listen != ":0" && s.Listen != "" {
			addr = s.Listen
		}
	}
	host, port, _ = net.SplitHostPort(addr) // checked by Validate
	return host, port
}
