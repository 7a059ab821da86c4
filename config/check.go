package config

import (
	"crypto/tls"
	"maps"
	"math"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/heap"
	"github.com/skerry/skerry/internal/mask"
	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/internal/tlsfile"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// Validate reports all errors of the configuration as one [*Error]. Open and Read call it.
func (c Config) Validate() error {
	p := &problems{}
	c.check(p)
	return p.err()
}

// check adds the errors of a configuration with filled in defaults.
func (c Config) check(p *problems) {
	if c.Service.Name == "" && p.lines["service"] > 0 && p.lines["service.name"] == 0 {
		p.at("service", "a service needs a name: service: {name: auth}")
	}
	single := c.Service.Name != ""
	c = c.WithDefaults()
	checkName(p, "cluster", c.Cluster, false)
	checkName(p, "zone", c.Zone, true)
	oneOf(p, "mode", c.Mode, ModeAuto, ModeDatabase, ModeBroadcast)
	if c.Mode == ModeDatabase && c.Database.URL == "" && !p.has(urlKey) {
		p.at("mode", `mode database needs database.url, such as "postgres://app:${DB_PASSWORD}@db/site"`)
	}
	c.checkServices(p, single)
	for _, name := range slices.Sorted(maps.Keys(c.Consumers)) {
		if name != "*" {
			checkName(p, "consumers."+name, name, false)
		}
		c.ConsumerOf(name).check(p, "consumers."+name, c.Calls.ConnectTimeout)
	}
	c.Site.check(p, c)
	c.Database.check(p)
	c.LAN.check(p)
	c.TLS.check(p)
	atLeast(p, "stats.interval", c.Stats.Interval, time.Second, true)
	atLeast(p, "stop.grace", c.Stop.Grace, 0, true)
	atLeast(p, "stop.drain", c.Stop.Drain, 0, true)
	inRange(p, "stats.keep", c.Stats.Keep, 1, 1000)
	inRange(p, "limits.frame", c.Limits.Frame, 1024, 1<<30)
	inRange(p, "limits.connections", c.Limits.Conns, 1, 10_000_000)
	inRange(p, "limits.conn_calls", c.Limits.ConnCalls, 1, 1_000_000)
	inRange(p, "streams.window", c.Streams.Window, 1024, 1<<30)
	inRange(p, "streams.item", c.Streams.Item, 1024, 1<<30)
	inRange(p, "streams.memory", c.Streams.Memory, 1<<20, min(math.MaxInt, 1<<40))
	atLeast(p, "streams.stall", c.Streams.Stall, time.Second, false)
	inRange(p, "streams.most", c.Streams.Most, 1, 1_000_000)
	inRange(p, "streams.conn", c.Streams.Conn, 1, 16_000)
	atLeast(p, "streams.grace", c.Streams.Grace, time.Millisecond, false)
	atLeast(p, "calls.connect_timeout", c.Calls.ConnectTimeout, time.Millisecond, false)
	inRange(p, "calls.connections", c.Calls.Connections, 1, 64)
	atLeast(p, "calls.warm_up", c.Calls.WarmUp, 0, true)
	atLeast(p, "calls.eject", c.Calls.Eject, time.Second, false)
	inRange(p, "stats.max_size", c.Stats.MaxSize, 1<<20, 1<<30)
	inRange(p, "limits.calls", c.Limits.Calls, 1, 1_000_000)
	if c.Memory.Floor >= 0 {
		inRange(p, "memory.floor", c.Memory.Floor, heap.Least, min(math.MaxInt, 1<<40))
	}
	c.Gateway.check(p)
	c.Proxy.check(p)
	c.Console.check(p)
	oneOf(p, "rollout.orphans", c.Rollout.Orphans, OrphansMigrate, OrphansStrict)
	if env := os.Getenv(envPolicy); env != "" && env != "all" && env != ObeyNone {
		p.at("policy.obey", "%s=%s: want all or none", envPolicy, env)
	} else {
		oneOf(p, "policy.obey", c.Policy.Obey, "all", ObeyNone)
	}
	oneOf(p, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(p, "log.format", c.Log.Format, "text", "json")
}

// checkServices checks services in the one list of WithDefaults. single says that its first entry
// is the single service.
func (c Config) checkServices(p *problems, single bool) {
	first := map[string]string{} // name and version to key
	listen, listenKey := "", ""
	for i, s := range c.Services {
		key := serviceKey(i, single)
		s.check(p, key)
		id := s.Name + " " + s.Version
		if other, twice := first[id]; twice && s.Name != "" {
			p.at(key+".name", "%s %s stands in %s already; two entries of one name need two versions",
				s.Name, s.Version, other)
		}
		first[id] = key
		switch {
		case s.Listen == ":0":
		case listen == "":
			listen, listenKey = s.Listen, key
		case s.Listen != listen:
			p.at(key+".listen", "%s here and %s in %s.listen; all services of a process share one port: name it once",
				s.Listen, listen, listenKey)
		}
	}
}

func serviceKey(i int, single bool) string {
	if single {
		if i == 0 {
			return "service"
		}
		i--
	}
	return "services[" + strconv.Itoa(i) + "]"
}

func (s Service) check(p *problems, key string) {
	checkName(p, key+".name", s.Name, false)
	checkName(p, key+".version", s.Version, true)
	checkName(p, key+".zone", s.Zone, true)
	checkHostPort(p, key+".listen", s.Listen, true)
	checkAdvertise(p, key+".advertise", s.Advertise)
	if s.Weight < -1 || s.Weight > registry.MaxWeight {
		p.at(key+".weight", "%d is not in 1..%d, nor -1 for no calls", s.Weight, registry.MaxWeight)
	}
	if err := registry.CheckTags("the tags", s.Tags); err != nil {
		p.at(key+".tags", "%s", plain(err))
	}
}

func (d Database) check(p *problems) {
	if d.URL != "" {
		d.checkURL(p)
	}
	atLeast(p, "database.heartbeat", d.Heartbeat, time.Second, false)
	atLeast(p, "database.poll", d.Poll, time.Second, false)
	if d.Expiry < 2*d.Heartbeat {
		p.at("database.expiry", "%v is less than twice database.heartbeat (%v): one late heartbeat would drop a "+
			"live provider; raise database.expiry to %v or more, or lower database.heartbeat",
			d.Expiry, d.Heartbeat, 2*d.Heartbeat)
	}
	if d.Poll > d.Expiry {
		p.at("database.poll", "%v is longer than database.expiry (%v): consumers would read of a dead provider too "+
			"late; lower database.poll to %v or less",
			d.Poll, d.Expiry, d.Expiry)
	}
}

// checkURL refuses a URL that can't be read, or that can be read in two ways: a part of the
// password would be looked up as a host, and shown. Its own errors show the masked URL only.
func (d Database) checkURL(p *problems) {
	try := func(url string) error {
		// New connects to nothing
		_, err := postgres.New(postgres.Config{URL: url, Cluster: "x", Owner: registry.Owner{Host: "x"}})
		return err
	}
	masked := mask.URL(d.URL)
	err, without := try(d.URL), try(masked)
	switch {
	case mask.Doubtful(d.URL), err != nil && without == nil:
		p.at(urlKey, "%s: it is not certain where the password ends; in user, password and parameters write @ as "+
			"%%40, / as %%2F, : as %%3A, "+
			"# as %%23, ? as %%3F, %% as %%25 and a space as %%20; a variable such as ${DB_PASSWORD} is encoded by "+
			"itself", masked)
	case err != nil && masked == mask.Set:
		p.at(urlKey,
			`this is no PostgreSQL URL, such as "postgres://app:${DB_PASSWORD}@db/site", and no key=value string`)
	case err != nil:
		p.at(urlKey, "%v", without)
	}
}

func (l LAN) check(p *problems) {
	inRange(p, "lan.port", l.Port, 1, 65535)
	inRange(p, "lan.ports", l.Ports, 4, 1000)
	if l.Ports != 100 && l.Port+l.Ports > 65535 {
		p.at("lan.ports", "the last one would be %d, and there is none over 65535; choose fewer, or a lower lan.port",
			l.Port+l.Ports)
	}
	atLeast(p, "lan.announce", l.Announce, time.Second, false)
	checkSiteKey(p, l.Key)
	for i, name := range l.Interfaces {
		key := "lan.interfaces[" + strconv.Itoa(i) + "]"
		if strings.Contains(name, "/") {
			checkCIDR(p, key, name)
		} else if _, err := path.Match(name, ""); err != nil || name == "" {
			p.at(key, `%q is no interface name or pattern, such as "eth0" or "eth*", and no network, `+
				"such as 10.0.0.0/8", name)
		}
	}
	for i, seed := range l.Seeds {
		key := "lan.seeds[" + strconv.Itoa(i) + "]"
		if strings.Contains(seed, ":") && net.ParseIP(seed) == nil {
			checkHostPort(p, key, seed, false)
		} else {
			checkHost(p, key, seed)
		}
	}
}

func (t TLS) check(p *problems) {
	oneOf(p, "tls.clients", t.Clients, "require", "none")
	oneOf(p, "tls.providers", t.Providers, "require", "any")
	switch {
	case t.Cert != "" && t.Key == "":
		p.at("tls.cert", "a certificate without its private key; set tls.key")
	case t.Key != "" && t.Cert == "":
		p.at("tls.key", "a private key without its certificate; set tls.cert")
	case t.Cert != "":
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			p.at("tls.cert", "%v (tls.cert %s, tls.key %s)", err, t.Cert, t.Key)
		}
	}
	if t.CA != "" {
		if _, err := tlsfile.Authorities(t.CA); err != nil {
			p.at("tls.ca", "%v", err)
		}
	}
}

func (c Consumer) check(p *problems, key string, connect time.Duration) {
	checkName(p, key+".version", c.Version, true)
	checkName(p, key+".zone", c.Zone, true)
	oneOf(p, key+".balancer", c.Balancer, "p2c", "round-robin", "hash")
	atLeast(p, key+".timeout", c.Timeout, time.Millisecond, false)
	if connect > c.Timeout && connect > 0 {
		p.at(key+".timeout", "%v is shorter than calls.connect_timeout (%v): a dead instance would use up the whole "+
			"call; raise %s.timeout or lower calls.connect_timeout",
			c.Timeout, connect, key)
	}
	if c.Wait != 0 {
		atLeast(p, key+".wait", c.Wait, time.Millisecond, true)
	}
	if c.AttemptTimeout != 0 {
		atLeast(p, key+".attempt_timeout", c.AttemptTimeout, time.Millisecond, false)
	}
	inRange(p, key+".retries", *c.Retries, 0, 10)
	if err := registry.CheckPrefix(c.Prefix); err != nil {
		p.at(key+".prefix", "%v", err)
	}
	inRange(p, key+".max_pending", c.MaxPending, 0, 1_000_000)
	inRange(p, key+".max_rate", c.MaxRate, 0, 100_000_000)
	inRange(p, key+".breaker.ratio", c.Breaker.Ratio, 1, 100)
	inRange(p, key+".breaker.calls", c.Breaker.Calls, 1, 1_000_000)
	atLeast(p, key+".breaker.window", c.Breaker.Window, time.Second, false)
}

func checkName(p *problems, key, name string, optional bool) {
	if name == "" && optional {
		return
	}
	if err := registry.CheckName("the name", name); err != nil {
		p.at(key, "%s", plain(err))
	}
}

// plain is the text of an error of registry's checks without the sentinel's text.
func plain(err error) string {
	return strings.TrimPrefix(err.Error(), registry.ErrInvalid.Error()+": ")
}

func checkHostPort(p *problems, key, addr string, zeroPort bool) {
	host, port, err := net.SplitHostPort(addr)
	n, errPort := strconv.ParseUint(port, 10, 16)
	if err != nil || errPort != nil || n == 0 && !zeroPort {
		also := ""
		if zeroPort { // port 0 means a free port to listen on
			also = `, or ":9090" for every address of this host`
		}
		p.at(key, `%q is no host:port; write "10.0.0.5:9090"%s`, addr, also)
		return
	}
	if ip := net.ParseIP(host); zeroPort && (host == "" || ip != nil && ip.IsUnspecified()) {
		return // all addresses of this host
	}
	checkHost(p, key, host)
}

// checkHost refuses a host to which no other host could connect.
func checkHost(p *problems, key, host string) {
	if err := registry.CheckHost("the host", host); err != nil {
		p.at(key, "%s", plain(err))
	}
}

func checkAdvertise(p *problems, key, addr string) {
	switch {
	case addr == "":
	case strings.Contains(addr, "/"):
		checkCIDR(p, key, addr)
	case !strings.Contains(addr, ":") || net.ParseIP(addr) != nil:
		checkHost(p, key, addr)
	default:
		if host, _, err := net.SplitHostPort(addr); err == nil && host == "" {
			p.at(key, "%q names no host that others could connect to", addr)
			return
		}
		checkHostPort(p, key, addr, false)
	}
}

func checkCIDR(p *problems, key, text string) {
	if _, err := netip.ParsePrefix(text); err != nil {
		hint := "an address, a slash and the number of bits, such as 10.0.0.0/24"
		if addr, _, _ := strings.Cut(text, "/"); net.ParseIP(addr) == nil {
			hint = "no IP address before the slash; " + hint
		}
		p.at(key, "%q is no CIDR: %s", text, hint)
	}
}

func oneOf[T ~string](p *problems, key string, got T, known ...T) {
	if slices.Contains(known, got) {
		return
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	p.at(key, "%q is none of %s%s", string(got), strings.Join(names, ", "), suggest.DidYouMean(string(got), names))
}

func atLeast(p *problems, key string, got, least time.Duration, noneAllowed bool) {
	switch {
	case got < 0 && noneAllowed:
	case got < 0:
		p.at(key, `"none" makes no sense here; give a duration of %v or more`, least)
	case got < least:
		p.at(key, "%v is too short, at least %v", got, least)
	}
}

func inRange(p *problems, key string, got, least, most int) {
	if got < least || got > most {
		p.at(key, "%d is not in %d..%d", got, least, most)
	}
}
