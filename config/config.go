package config

import (
	"cmp"
	"net"
	"os"
	"slices"
	"time"
)

// Config is the configuration of a node, from a YAML file (see [Read]) or in Go. Every field has a
// default and the zero value means it, so that Config{} is a node of the cluster "default". Without
// a site key, only processes of its own host find it. docs/configuration.md lists all keys; a test
// keeps it equal to the tags here.
type Config struct {
	// Cluster names the system. Nodes of different clusters may share a network or a database and
	// never see each other.
	Cluster string `yaml:"cluster" default:"default"`

	// Mode names the registries in which instances are listed and searched.
	Mode Mode `yaml:"mode" default:"auto"`

	// Zone is the place of the process, such as a hall or a rack. Consumers can prefer their own
	// zone; services without a zone are in this one.
	Zone string `yaml:"zone"`

	// Service is the service of a process that offers one service.
	Service Service `yaml:"service"`

	// Services are the services of a process that offers several; all are served on one port. A
	// name may occur twice with two versions.
	Services []Service `yaml:"services"`

	// Consumers are the rules for calls to other services, by service name. The name "*" means
	// every service; it supplies the fields that a service's own entry leaves out.
	Consumers map[string]Consumer `yaml:"consumers"`

	Site     Site     `yaml:"site"`     // membership and operators
	Database Database `yaml:"database"` // the registry in the site's database
	LAN      LAN      `yaml:"lan"`      // the registry on the LAN
	TLS      TLS      `yaml:"tls"`      // encryption of the calls
	Stop     Stop     `yaml:"stop"`     // how the process stops
	Stats    Stats    `yaml:"stats"`    // where call statistics go
	Limits   Limits   `yaml:"limits"`   // upper bounds of the server
	Streams  Streams  `yaml:"streams"`  // upper bounds of streams
	Memory   Memory   `yaml:"memory"`   // memory that the process may use for speed
	Log      Log      `yaml:"log"`      // the framework's own log
	Calls    Calls    `yaml:"calls"`    // rules for calls to every service
	Rollout  Rollout  `yaml:"rollout"`  // releases of many services at once
	Policy   Policy   `yaml:"policy"`   // what of the site's policy the process obeys
	Gateway  Gateway  `yaml:"gateway"`  // entry of users' requests, for skerry gateway
	Proxy    Proxy    `yaml:"proxy"`    // programs of other languages, for skerry proxy
	Console  Console  `yaml:"console"`  // web pages, for skerry console

	// StateDir is the directory of the last known lists and the peers on the LAN, for a start
	// without any registry; "none" keeps nothing. Default: $STATE_DIRECTORY, which systemd sets,
	// else skerry in the user's cache directory; without both nothing is kept. It must belong to
	// the process's user or root, and no other user may write to it.
	StateDir string `yaml:"state_dir"`
}

// Offers reports whether the configuration offers a service in a version.
func (c *Config) Offers(service, version string) bool {
	return slices.ContainsFunc(c.Services, func(s Service) bool { return s.Name == service && s.Version == version })
}

// Mode names the registries of a node.
type Mode string

// The modes.
const (
	// ModeAuto always uses the LAN, and uses the database while it can be reached. It therefore
	// also finds nodes without the database. Without a database.url it is ModeBroadcast.
	ModeAuto Mode = "auto"
	// ModeDatabase uses the database only. A node starts, serves and keeps
	// trying while the database is away.
	ModeDatabase Mode = "database"
	// ModeBroadcast uses the LAN only.
	ModeBroadcast Mode = "broadcast"
)

// Service is one service of the process.
type Service struct {
	// Name is the service's name for consumers.
	Name string `yaml:"name"`

	// Version of the service that this process runs; empty for none.
	Version string `yaml:"version"`

	// Listen is the TCP address of the process's port, host:port. Port 0 means a free one. All
	// services of a process share one port: they name the same address or none.
	Listen string `yaml:"listen" default:":0"`

	// Advertise overrides the address that the process announces. It is a host or host:port, which
	// is announced unchanged, or a CIDR, which chooses this host's address inside it.
	Advertise string `yaml:"advertise"`

	// Weight is the instance's share of the calls relative to its peers, 1 to 10,000; -1 lists it
	// without sending it any calls.
	Weight int `yaml:"weight" unit:"share" default:"100" zero:"-1 lists the instance without sending it calls"`

	// Zone of the instance. Default: the zone of the process.
	Zone string `yaml:"zone"`

	// Tags are free labels for the rules of consumers.
	Tags map[string]string `yaml:"tags"`

	// Entry names the methods for requests from outside: a call of them without a rollout token
	// begins a trace. "*" means all methods.
	Entry []string `yaml:"entry"`

	// Thrift is the .thrift file that describes the service. The process reads it when the console
	// asks for it, for test calls. Included files are found beside it.
	Thrift string `yaml:"thrift"`
}

// Database is the registry in a database that the site already runs.
type Database struct {
	// URL is a PostgreSQL connection string, of one or several hosts. Keep the password out of the
	// file: "postgres://app:${DB_PASSWORD}@db/site". Read percent-encodes the value of a variable
	// in user, password and parameters of a URL. A variable with a whole URL must be
	// percent-encoded already.
	URL string `yaml:"url" secret:"url"`

	// Heartbeat is the time between two heartbeats.
	Heartbeat time.Duration `yaml:"heartbeat" default:"30s"`

	// Expiry is the age of the last heartbeat, by the database's clock, at which the process's
	// instances are dropped from the lists.
	Expiry time.Duration `yaml:"expiry" default:"90s"`

	// Poll is the time between two full reads of the lists. Notifications make changes known
	// sooner; the lists that are read count.
	Poll time.Duration `yaml:"poll" default:"30s"`
}

// LAN is the registry on the LAN.
type LAN struct {
	// Key is the old name of site.keys: the text of one site key, which begins with sk1-. Packets
	// without its signature are ignored. Without a key, a key derived from the cluster's name
	// separates systems, but does not keep intruders out. "${file:/path}" reads a file that holds
	// only the key.
	Key string `yaml:"key" secret:"true"`

	// Port is the UDP port that all processes of the cluster share.
	Port int `yaml:"port" unit:"UDP port" default:"7759"`

	// Ports is the number of UDP ports behind Port, of which each process takes one or two for what
	// goes to it alone.
	Ports int `yaml:"ports" unit:"UDP ports" default:"100"`

	// Interfaces to send and receive on, by name, pattern ("en*"), address or CIDR. They also limit
	// the choice of the advertised address, the earlier first, in every mode. Default: all that
	// lead to the LAN, without loopback, container, virtual and VPN interfaces.
	Interfaces []string `yaml:"interfaces"`

	// Seeds are hosts (host or host:port) for unicast announcements and questions, on networks that
	// filter broadcast.
	Seeds []string `yaml:"seeds"`

	// Announce is the time between two announcements. It is also the age at which an entry's
	// provider is asked whether it is alive.
	Announce time.Duration `yaml:"announce" default:"3m"`
}

// TLS encrypts the calls. Cert and Key make the port speak TLS. CA makes the callers check the
// server. With Cert and Key, CA also makes the port require a certificate from its callers (mutual
// TLS).
type TLS struct {
	Cert string `yaml:"cert"` // file of this process's certificate chain, PEM
	Key  string `yaml:"key"`  // file of its private key, PEM
	CA   string `yaml:"ca"`   // file of the trusted authorities, PEM; default: the system's

	// Clients decides whether callers must show a certificate of the CA: "require" or "none".
	Clients string `yaml:"clients" default:"require"`

	// Providers decides about calls to instances without TLS: "require" refuses them, "any" calls
	// them in the clear. It counts once calls have certificates to check.
	Providers string `yaml:"providers" default:"require"`

	// ServerName is the name in the providers' certificates. Default: the host of the advertised
	// address.
	ServerName string `yaml:"server_name"`
}

// Stop configures the stop of a process. It leaves the lists, notifies the callers, serves for
// Grace, and then waits up to Drain for running calls.
type Stop struct {
	Grace time.Duration `yaml:"grace" default:"3s"`  // "none" for no grace
	Drain time.Duration `yaml:"drain" default:"30s"` // after that, running calls are cut off
}

// Stats configures call statistics. They are written to the database's table while it can be
// reached, else to a rotating log file.
type Stats struct {
	// time between two writes; "none" writes nothing
	Interval time.Duration `yaml:"interval" default:"30s"`
	// log file; default: one for each process in state_dir
	File string `yaml:"file"`
	// size at which the file is rotated, in whole MiB
	MaxSize int `yaml:"max_size" unit:"bytes" default:"16MiB"`
	Keep    int `yaml:"keep" unit:"files" default:"4"` // rotated files to keep
}

// Limits are the upper bounds of the server, checked before memory is allocated.
type Limits struct {
	Frame int `yaml:"frame" unit:"bytes" default:"16MiB"` // one message
	// of callers to this process; from three quarters on, silent connections make room, of the
	// address that has most
	Conns int `yaml:"connections" unit:"connections" default:"20000"`
	// concurrent calls in handlers; more are refused, unexecuted
	Calls     int `yaml:"calls" unit:"calls" default:"10000"`
	ConnCalls int `yaml:"conn_calls" unit:"calls" default:"2000"` // the same, of one connection
}

// Streams are the upper bounds of streams, at both ends.
type Streams struct {
	// what may come on a stream before the application takes it, beside one item
	Window int `yaml:"window" unit:"bytes" default:"256KiB"`
	// one item; it must be allowed at both ends, and fit into limits.frame
	Item int `yaml:"item" unit:"bytes" default:"1MiB"`
	// items of all streams that the application has not taken; beyond it senders wait, and no stream is opened
	Memory int `yaml:"memory" unit:"bytes" default:"256MiB"`
	// how long a sender waits for an end that takes nothing, before the stream ends as slow_reader
	Stall time.Duration `yaml:"stall" default:"60s"`
	Most  int           `yaml:"most" unit:"streams" default:"10000"` // open at the server
	Conn  int           `yaml:"conn" unit:"streams" default:"1000"`  // the same, of one connection
	// how long a process that stops waits for its streams, once its calls are refused, before it cuts them
	Grace time.Duration `yaml:"grace" default:"5s"`
}

// Memory is the memory that the process may use for speed.
type Memory struct {
	// Floor is the size of the heap below which Go's garbage collector does not start. Without it,
	// a process with a small heap is collected up to a hundred times a second under calls. About
	// half of it is memory that the process really uses. -1, "none" in a file, means the
	// collector's own setting. It has no effect in a program that configures the collector itself,
	// by GOGC, GOMEMLIMIT or package debug. It is at most a quarter of the control group's memory
	// limit.
	Floor int `yaml:"floor" unit:"bytes" default:"32MiB"`
}

// Calls are the rules for calls to every service.
type Calls struct {
	// limit of connecting; where TCP alone is slow, six times TCP's time is added
	ConnectTimeout time.Duration `yaml:"connect_timeout" default:"500ms"`
	Connections    int           `yaml:"connections" unit:"connections" default:"1"` // to each instance
	// time from a provider's start to its full share of calls; "none" for the full share at once
	WarmUp time.Duration `yaml:"warm_up" default:"10s"`
	// time without calls to an instance after three failed connects in a row
	Eject time.Duration `yaml:"eject" default:"10s"`
}

// Rollout configures the process's part in releases.
type Rollout struct {
	// Orphans decides about calls without a trace, which have no token from an entry, Node.Begin or
	// a caller: "migrate" counts them and lets them pass, "strict" refuses them.
	Orphans string `yaml:"orphans" default:"migrate"`

	// MaxTraceAge limits a trace that goes on after a release has switched its versions. Then its
	// further calls are refused, and it no longer holds back an old version. Traces of the newest
	// rules have no limit.
	MaxTraceAge time.Duration `yaml:"max_trace_age" default:"24h"` // "none" for no limit

	// OutsideHold is the same limit for calls of callers outside the site, because a stranger could
	// hold an old version for any time.
	OutsideHold time.Duration `yaml:"outside_hold" default:"60s"` // "none": only MaxTraceAge counts

	// StreamGrace is how long a stream that its caller follows (skerry.Follow) may stay at a version after a
	// release has switched it to another one. Then the provider cuts it.
	StreamGrace time.Duration `yaml:"stream_grace" default:"30s"`
}

// The values of Rollout.Orphans.
const (
	OrphansMigrate = "migrate"
	OrphansStrict  = "strict"
)

// Policy says what of the site's policy the process obeys.
type Policy struct {
	// Obey is "all", or "none" in an emergency: then no policy takes effect in this process, access
	// lists and limits neither. SKERRY_POLICY goes before the file.
	Obey string `yaml:"obey" default:"all"`
}

// ObeyNone is the value of Policy.Obey for an emergency.
const ObeyNone = "none"

// envPolicy is Policy.Obey from outside of the file.
const envPolicy = "SKERRY_POLICY"

func (p Policy) withDefaults() Policy {
	p.Obey = cmp.Or(os.Getenv(envPolicy), p.Obey)
	return p
}

// Log is the framework's own log, written to stderr. WithLogger replaces it.
type Log struct {
	Level  string `yaml:"level" default:"info"`  // debug, info, warn or error
	Format string `yaml:"format" default:"text"` // text or json
}

// ListenAddr is the address of the process's port: the one that a service names, else ":0".
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
